package vmdk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sharevm/vmm/disk/vmdk"
)

const plainDescriptor = `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW 128 FLAT "disk-flat.vmdk" 0

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
`

// oddDescriptor has what programs in the field write and others trip over.
const oddDescriptor = "\ufeff# Disk DescriptorFile\r\n" +
	"Version = 1 \r\n" +
	"encoding=\"windows-1252\"\r\n" +
	"cid = 52db3b7 \r\n" +
	"parentCID=ffffffff\r\n" +
	"isNativeSnapshot=\"no\"\r\n" +
	"createType = \"custom\"\r\n" +
	"\r\n" +
	"rw 64 flat \"sub\\caf\xe9 1.vmdk\" 128\r\n" +
	"\r\n" +
	"RDONLY\t10  VMFS  \"b=c.vmdk\"\r\n" +
	"RW 63 FLAT \"disk-pt.vmdk\" 0 partitionUUID 1234 deviceID \"abc\"\r\n" +
	"RW 7 ZERO\r\n" +
	"NOACCESS 9 ZERO \r\n" +
	"this line means nothing\r\n" +
	"ddb.unknown.key = \"kept\"\r\n" +
	"ddb.longContentID = \"6e3d2a3fb9f03cc89dfc119febc44fce\"\r\n"

func TestParseDescriptor(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want vmdk.Descriptor
	}{
		"plain": {plainDescriptor, vmdk.Descriptor{
			Version: "1", CID: 0xfffffffe, ParentCID: 0xffffffff, CreateType: "monolithicFlat",
			Extents: []vmdk.Extent{{Sectors: 128, Type: "FLAT", Name: "disk-flat.vmdk"}},
			DDB:     map[string]string{"adaptertype": "lsilogic"},
		}},
		"odd": {oddDescriptor, vmdk.Descriptor{
			Version: "1", CID: 0x52db3b7, ParentCID: 0xffffffff, CreateType: "custom",
			Extents: []vmdk.Extent{
				{Sectors: 64, Type: "FLAT", Name: "sub/café 1.vmdk", Offset: 128},
				{Access: vmdk.ReadOnly, Sectors: 10, Type: "VMFS", Name: "b=c.vmdk"},
				{Sectors: 63, Type: "FLAT", Name: "disk-pt.vmdk"},
				{Sectors: 7, Type: "ZERO"},
				{Access: vmdk.NoAccess, Sectors: 9, Type: "ZERO"},
			},
			DDB: map[string]string{"unknown.key": "kept", "longcontentid": "6e3d2a3fb9f03cc89dfc119febc44fce"},
		}},
	} {
		got, err := vmdk.ParseDescriptor([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, *got, cmpopts.IgnoreUnexported(vmdk.Descriptor{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseDescriptorErrors(t *testing.T) {
	extent := func(line string) string {
		return strings.Replace(plainDescriptor, `RW 128 FLAT "disk-flat.vmdk" 0`, line, 1)
	}
	for _, c := range []struct{ text, want string }{
		{"", "no CID"},
		{extent(""), "no extent line"},
		{extent(`RW -1 FLAT "a" 0`), "line 9: extent size"},
		{extent(`RW 99999999999999999999 FLAT "a" 0`), "extent size"},
		{extent(`RW 9223372036854775807 FLAT "a" 0`), "extent size"},
		{extent("RW 4503599627370496 ZERO\nRW 1 ZERO"), "larger than any disk"},
		{extent(`RW 1 FLAT "a" -5`), "extent offset"},
		{extent(`RW 1 FLAT a 0`), "not in quotes"},
		{extent(`RW 1 FLAT "a 0`), "no closing quote"},
		{extent(`RW 1 FLAT`), "names no file"},
		{extent(`RW 1`), "no type"},
		{strings.Replace(plainDescriptor, "fffffffe", "xyz", 1), "hexadecimal"},
		{strings.Replace(strings.Replace(plainDescriptor, "UTF-8", "klingon", 1), "disk-flat", "d\xe9", 1), "unknown character set"},
		{strings.Replace(plainDescriptor, "RW 128", strings.Repeat("RW 1 ZERO\n", 10001)+"RW 128", 1), "more than 10000 extents"},
		{strings.Repeat("#", 5<<20), "longer than any disk"},
	} {
		_, err := vmdk.ParseDescriptor([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: %v, want one line with %q", c.text, err, c.want)
		}
	}
}
