"""Rate limits of venues: windows, budgets, what headers tell, bans; pure arithmetic and one thin awaiting shell."""
