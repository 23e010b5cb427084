"""Pages from the logs of the milter and of mailspy; it replaces mailspy's htmlspy.pl and cronspy.sh."""
