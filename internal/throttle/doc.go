// Package throttle holds work to a rate without holding up whoever does it.
//
// A [Bucket] is a token bucket that is paid afterwards: work may begin while there are tokens left, however much it then costs, and a debt
// is worked off before more may begin. So no request is too large for its bucket, and the rate holds on average, whatever the sizes.
//
// A [Gate] is a set of buckets that work has to pass, and a [Waiter] is one worker's place before a gate: it says whether work may begin
// now, and if not, wakes the worker when it is time to ask again. The work stays where it is until then, mostly in the guest's own
// ring, so that a worker that waits can be stopped like one that has nothing to do.
package throttle
