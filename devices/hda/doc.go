// Package hda is an Intel High Definition Audio controller with one codec, which has a stereo output: VMware's "hdaudio" (15ad:1977, with the codec
// 15ad:1975), which Linux's snd_hda_intel and Windows' own driver take by class or identity.
//
// It follows the High Definition Audio Specification, revision 1.0a: registers (section 3.3), commands and responses (4.4), streams and
// their buffer descriptors (4.5, 3.6), the codec's graph, verbs and parameters (7.1 to 7.3).
//
// Of eight stream descriptors four are inputs, which nothing feeds: they run and do not move. Outputs move by the host's clock, at the rate
// of their format, whether or not somebody listens; what a host could not do in time is played later rather than left out.
// The graph is a function group (node 1), a converter with an amplifier (2) and a line-out pin (3).
//
// Not implemented: inputs, unsolicited responses (the jack is always plugged in), striping, wake events, digital outputs.
package hda
