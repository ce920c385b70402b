"""Job: pods until enough of them have succeeded; and the end of jobs that are done for long enough."""
