"""Between the centre and its gateways: topics, one link to a broker, the client below it."""
