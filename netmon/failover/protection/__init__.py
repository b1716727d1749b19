"""What decides where traffic goes. Pure: the controller, the gateways, drills and the simulation run the same code."""
