package guest

// fileSystems are those that are read.
var fileSystems = []fileSystem{}
