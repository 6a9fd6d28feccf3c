package tools

import (
	"context"
	"runtime"
	"sync"
)

const (
	// pieceSize is how much is read and written at once: large enough for a parallel deflate and for few system calls, small enough that
	// what one processor has just read is still in its cache when it is compared or written.
	pieceSize = 512 << 10
	// pieces is how many are in memory at a time.
	pieces = 16
	// leastWorkers keeps several reads in flight where there are few processors.
	leastWorkers = 4
)

// piece is a part of a disk on its way through a [pipeline].
type piece struct {
	off   int64
	buf   []byte // as long as the part
	other []byte // a second buffer of the same length, if the pipeline has two
	runs  []run  // for the worker to tell the consumer
	err   error
	done  chan struct{} // the worker is finished
}

// run is bytes [from, to) of a piece.
type run struct{ from, to int }

// pipeline takes parts of a disk from produce, has work done on several at once, and hands them to consume in order, one at a time. The first error
// ends it. Memory is bounded by the fixed number of pieces.
type pipeline struct {
	buffers int // per piece: 1 or 2
	produce func(emit func(off, length int64) error) error
	work    func(*piece) error
	consume func(*piece) error
}

func (p pipeline) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	free := make(chan *piece, pieces)
	for range pieces / p.buffers {
		c := &piece{buf: make([]byte, pieceSize), done: make(chan struct{}, 1)}
		if p.buffers == 2 {
			c.other = make([]byte, pieceSize)
		}
		free <- c
	}
	todo, order := make(chan *piece, pieces), make(chan *piece, pieces) // neither ever blocks
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(todo)
		defer close(order)
		if err := p.produce(func(off, length int64) error { return p.emit(ctx, off, length, free, todo, order) }); err != nil {
			stop(err)
		}
	})
	for range max(runtime.GOMAXPROCS(0), leastWorkers) {
		wg.Go(func() {
			for c := range todo {
				if ctx.Err() == nil {
					c.err = p.work(c)
				}
				c.done <- struct{}{}
			}
		})
	}
	for c := range order {
		<-c.done
		err := c.err
		if ctx.Err() == nil && err == nil {
			err = p.consume(c)
		}
		if err != nil {
			stop(err)
		}
		free <- c
	}
	wg.Wait()
	return context.Cause(ctx)
}

// emit sends [off, off+length) on its way, cut into pieces that end at multiples of pieceSize.
func (p pipeline) emit(ctx context.Context, off, length int64, free, todo, order chan *piece) error {
	for length > 0 {
		var c *piece
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case c = <-free:
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(length, pieceSize-off%pieceSize)
		c.off, c.buf, c.runs, c.err = off, c.buf[:n], c.runs[:0], nil
		if c.other != nil {
			c.other = c.other[:n]
		}
		order <- c
		todo <- c
		off, length = off+n, length-n
	}
	return nil
}
