package vdi

// Places of the header's fields, for tests that change them.
const (
	SignatureAt = signatureAt
	VersionAt   = versionAt
	SizeAt      = sizeAt
	TypeAt      = typeAt
	MapAt       = mapAt
	DataAt      = dataAt
	SectorAt    = sectorAt
	CapacityAt  = capacityAt
	BlockAt     = blockAt
	ExtraAt     = extraAt
	BlocksAt    = blocksAt
	AllocatedAt = allocatedAt
	ModifyAt    = modifyAt
	LinkAt      = linkAt
)
