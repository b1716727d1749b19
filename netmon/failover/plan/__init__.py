"""What every gateway is told beforehand, so that it can act when the centre is out of reach."""
