"""What people see: the table, the plots, the progress. Everything is made from a result alone."""
