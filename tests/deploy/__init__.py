"""Files for operators: alerts and scraping for Prometheus, and the dashboard for Grafana."""
