// Package limits holds a machine to what its configuration lets it take from the host: operations and bytes of its disks, bytes of its network
// cards, and processors. All of it can be changed while the machine runs.
//
// Disks and cards pass gates of package throttle, which their devices ask before they take work from the guest. Processors are the host
// kernel's to share: by a control group of the machine's own where the process may make one (cgroup v2), and by the nice values of the
// vCPUs' threads otherwise, which know shares but no quota. [CPU] says which it is.
package limits
