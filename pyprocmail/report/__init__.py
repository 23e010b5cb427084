"""Pages from the logs of the milter and of mailspy: what mailspy's htmlspy.pl and cronspy.sh did."""
