"""Study 08: what the surplus units of a wide network do."""
