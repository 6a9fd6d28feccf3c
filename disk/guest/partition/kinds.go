package partition

// Types that decide how a partition is treated.
const (
	TypeLDMData      = "AF9B60A0-1431-4F62-BC68-3311714A69AD"
	TypeLDMMetadata  = "5808C8AA-7E8F-42E0-85D2-E90434B9A4B3"
	TypeStorageSpace = "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D"
	TypeLVM          = "E6D6D379-F507-44C2-A23C-238F2A3DF928"
	TypeRAID         = "A19D880F-05FC-4D3B-A006-743F0F84911E"
	TypeMBRDynamic   = "0x42"
	TypeMBRLVM       = "0x8E"
	TypeMBRRAID      = "0xFD"
)

// kinds says what the usual types mean.
var kinds = map[string]string{
	"C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "EFI system",
	"21686148-6449-6E6F-744E-656564454649": "BIOS boot",
	"E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Microsoft reserved",
	"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "Microsoft basic data",
	"DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows recovery",
	TypeLDMMetadata:                        "Windows dynamic disk database",
	TypeLDMData:                            "Windows dynamic disk data",
	TypeStorageSpace:                       "Windows Storage Spaces",
	"0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux",
	"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "Linux root",
	"BC13C2FF-59E6-4262-A352-B275FD6F7172": "Linux extended boot",
	"933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "Linux home",
	"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
	"CA7D7CCB-63ED-4C53-861C-1742536059CC": "Linux LUKS",
	TypeLVM:                                "Linux LVM",
	TypeRAID:                               "Linux RAID",
	"48465300-0000-11AA-AA11-00306543ECAC": "Apple HFS+",
	"7C3457EF-0000-11AA-AA11-00306543ECAC": "Apple APFS",

	"0x01":         "FAT12",
	"0x04":         "FAT16",
	"0x05":         "extended",
	"0x06":         "FAT16",
	"0x07":         "NTFS or exFAT",
	"0x0B":         "FAT32",
	"0x0C":         "FAT32",
	"0x0E":         "FAT16",
	"0x0F":         "extended",
	"0x27":         "Windows recovery",
	TypeMBRDynamic: "Windows dynamic disk",
	"0x82":         "Linux swap",
	"0x83":         "Linux",
	"0x85":         "extended",
	TypeMBRLVM:     "Linux LVM",
	"0xEF":         "EFI system",
	TypeMBRRAID:    "Linux RAID",
}
