// Package audio is where the sound of machines goes: a small interface that sound cards play into, and what can stand behind it. Output is the
// machine's end, which can be muted; Null keeps time and is silent; WAV writes a file; package pulse plays through PulseAudio or PipeWire.
//
// A card has a clock of its own and moves its samples by that: nothing here makes it wait.
package audio
