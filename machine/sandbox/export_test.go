package sandbox

// RestrictPaths brings Landlock alone into force.
func RestrictPaths(c *Config) error {
	if _, err := refusePrivileges(); err != nil {
		return err
	}
	_, err := restrictPaths(c)
	return err
}

// LandlockHasNetwork says whether this kernel's Landlock knows of more than files.
func LandlockHasNetwork() bool {
	abi, err := landlockABI()
	return err == nil && abi >= scopeABI
}
