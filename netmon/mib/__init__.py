"""MIB modules: from their texts to one compact catalogue of names, and from catalogues to `netmon.snmp.names`."""
