package ntfs

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// Numbers of FILE records that every volume has.
const (
	fileMFT     = 0
	fileMirror  = 1
	fileLog     = 2
	fileVolume  = 3
	fileRoot    = 5
	fileBitmap  = 6
	fileBoot    = 7
	systemFiles = 12
)

var systemNames = [systemFiles]string{"$MFT", "$MFTMirr", "$LogFile", "$Volume", "$AttrDef", "the root directory", "$Bitmap", "$Boot", "$BadClus",
	"$Secure", "$UpCase", "$Extend"}

// Volume is an NTFS volume.
type Volume struct {
	boot boot
	r    volume.Reader
	mft  *stream

	hibernated bool
	bitmap     *stream
	kept       []run // clusters of system files, ascending, which no bitmap may call free
}

// Options are what Open disregards.
type Options struct {
	// LoseShadowCopies has clusters count as free that shadow copies may read.
	LoseShadowCopies bool
}

// Name is "ntfs".
func (v *Volume) Name() string { return "ntfs" }

// Hibernated says that Windows is hibernated on the volume, so that it has other volumes of the disk in use as well. Open refused it then.
func (v *Volume) Hibernated() bool { return v.hibernated }

// Open judges a volume. It refuses with a [volume.Refusal], and returns the Volume nevertheless.
func Open(ctx context.Context, r volume.Reader, o Options) (*Volume, error) {
	v := &Volume{r: r}
	return v, v.open(ctx, o)
}

func (v *Volume) open(ctx context.Context, o Options) error {
	p := make([]byte, bootSize)
	if err := v.r.Read(ctx, p, 0); err != nil {
		return err
	}
	if err := v.boot.parse(p, v.r.Size); err != nil {
		return err
	}
	if err := v.openMFT(ctx); err != nil {
		return err
	}
	// Hibernation comes first, being what the user can do something about: it leaves the volume in disorder by itself.
	if err := v.judgeHibernation(ctx); err != nil {
		return err
	}
	if err := v.judgeFlags(ctx); err != nil {
		return err
	}
	if err := v.judgeLog(ctx); err != nil {
		return err
	}
	if !o.LoseShadowCopies {
		if err := v.judgeShadows(ctx); err != nil {
			return err
		}
	}
	return v.openBitmap(ctx)
}

// openMFT finds the MFT by its own first record. The stream reaches as far as that one lists its runs.
func (v *Volume) openMFT(ctx context.Context) error {
	p := make([]byte, v.boot.recordSize)
	if err := v.r.Read(ctx, p, v.boot.mft*v.boot.clusterSize); err != nil {
		return err
	}
	r, err := parseRecord(p, systemNames[fileMFT])
	if err != nil {
		return err
	}
	v.mft, err = v.dataOf(r)
	return err
}

// record reads a FILE record.
func (v *Volume) record(ctx context.Context, number int64, what string) (*record, error) {
	p := make([]byte, v.boot.recordSize)
	if number >= maxClusters {
		return nil, volume.Refuse("it is damaged: %s has record %d; run chkdsk", what, number)
	}
	if err := v.mft.read(ctx, p, number*v.boot.recordSize); err != nil {
		return nil, err
	}
	r, err := parseRecord(p, what)
	if err == nil && !r.inUse {
		err = volume.Refuse("it is damaged: the record of %s is not in use; run chkdsk", what)
	}
	return r, err
}

func (v *Volume) system(ctx context.Context, number int64) (*record, error) {
	return v.record(ctx, number, systemNames[number])
}

// dataOf is the unnamed data of a file, as far as its first record lists it.
func (v *Volume) dataOf(r *record) (*stream, error) {
	a := r.find(attrData, "")
	if a == nil {
		if err := r.whole(); err != nil {
			return nil, err
		}
		return nil, volume.Refuse("it is damaged: %s has no data; run chkdsk", r.what)
	}
	return v.stream(r, a)
}

// Flags of $Volume that say that the volume is in no state to be believed.
const (
	volumeDirty    = 0x0001
	volumeUnusable = 0x4016 // resize of the log, upgrade, deletion of the change journal, chkdsk under way
	volumeChecked  = 0x8020 // chkdsk changed it, or object IDs are to be repaired: Windows has to see it first
)

func (v *Volume) judgeFlags(ctx context.Context) error {
	r, err := v.system(ctx, fileVolume)
	if err != nil {
		return err
	}
	a := r.find(attrVolumeInfo, "")
	if a == nil || len(a.value) < 12 {
		if err := r.whole(); err != nil {
			return err
		}
		return volume.Refuse("it is damaged: $Volume has no information; run chkdsk")
	}
	major, minor, flags := a.value[8], a.value[9], binary.LittleEndian.Uint16(a.value[10:])
	switch {
	case (major != 3 || minor > 1) && (major != 1 || minor != 2):
		return volume.Refuse("it has NTFS version %d.%d, which is not known", major, minor)
	case flags&volumeDirty != 0:
		return volume.Refuse("NTFS was not cleanly unmounted (the volume is marked dirty); boot Windows once, let it check the disk, and shut down")
	case flags&(volumeUnusable|volumeChecked) != 0:
		return volume.Refuse("Windows has work left to do on it (volume flags %#x); boot Windows once and shut down", flags)
	}
	return nil
}

// openBitmap opens $Bitmap and notes what it must not call free.
func (v *Volume) openBitmap(ctx context.Context) error {
	v.kept = []run{{first: 0, count: 1}}
	for _, number := range []int64{fileMFT, fileMirror, fileLog, fileBoot, fileBitmap} {
		r, err := v.system(ctx, number)
		if err != nil {
			return err
		}
		// Of the MFT, the part that its first record lists will do.
		if number != fileMFT {
			if err := r.whole(); err != nil {
				return err
			}
		}
		s, err := v.dataOf(r)
		if err != nil {
			return err
		}
		for _, run := range s.runs {
			if !run.hole {
				v.kept = append(v.kept, run)
			}
		}
		v.bitmap = s
	}
	if bits := v.bitmap.init; bits < (v.boot.clusters+7)/8 {
		return volume.Refuse("it is damaged: $Bitmap has %d bytes for %d clusters; run chkdsk", bits, v.boot.clusters)
	}
	for _, run := range v.bitmap.runs {
		if run.hole {
			return volume.Refuse("it is damaged: $Bitmap has a hole; run chkdsk")
		}
	}
	return nil
}

func (r run) String() string { return fmt.Sprintf("clusters %d to %d", r.first, r.first+r.count-1) }
