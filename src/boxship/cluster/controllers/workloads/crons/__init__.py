"""CronJob: jobs by the clock."""
