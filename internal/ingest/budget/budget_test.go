package budget

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/await"
)

func TestWhatAnAccountIsCharged(t *testing.T) {
	for name, test := range map[string]struct{ hold, want int64 }{
		"nothing":                    {hold: 0, want: 0},
		"what is free":               {hold: Free, want: 0},
		"a byte more":                {hold: Free + 1, want: step},
		"a step more":                {hold: Free + step, want: step},
		"two":                        {hold: Free + step + 1, want: 2 * step},
		"more than there is at all":  {hold: 100 * step, want: 10*step + 5},
		"more than can be in a step": {hold: Free + 10*step + 1, want: 10*step + 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(10*step + 5)
			a := b.Open()
			if !a.Set(test.hold) || b.Held() != test.want {
				t.Errorf("charged %d, want %d", b.Held(), test.want)
			}
			a.Close()
			if b.Held() != 0 {
				t.Errorf("%d are charged at the end", b.Held())
			}
		})
	}
}

func TestWhatOneHoldsAnotherCannot(t *testing.T) {
	b := New(4 * step)
	first, second := b.Open(), b.Open()
	if !first.Set(Free+3*step) || !second.Set(Free+step) {
		t.Fatal("the budget was not free")
	}
	if second.Set(Free + 2*step) {
		t.Error("more is held than there is")
	}
	if b.Held() != 4*step {
		t.Errorf("a refusal changed what is held: %d", b.Held())
	}
	if !second.Set(Free) || !first.Set(Free+4*step) {
		t.Error("what was given back is not free")
	}
}

func TestWaiting(t *testing.T) {
	b := New(4 * step)
	first, second := b.Open(), b.Open()
	first.Set(Free + 4*step)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.Wait(ctx, Free+1); !errors.Is(err, context.Canceled) || b.Held() != 4*step {
		t.Errorf("waited for nothing: %v, held %d", err, b.Held())
	}
	done := make(chan error, 1)
	go func() { done <- second.Wait(t.Context(), Free+2*step) }()
	third := b.Open()
	first.Close()
	select {
	case err := <-done:
		if err != nil || b.Held() != 2*step {
			t.Errorf("%v, held %d", err, b.Held())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
	await.True(t, "the rest is free", func() bool { return third.Set(Free + 2*step) })
}

func TestManyAccountsNeverHoldMoreThanThereIs(t *testing.T) {
	const size = 20 * step
	b := New(size)
	var wait sync.WaitGroup
	for seed := range uint64(8) {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 300 {
				a := b.Open()
				for range 5 {
					want := random.Int64N(size)
					if a.charged < a.charge(want) && random.IntN(3) == 0 {
						ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
						_ = a.Wait(ctx, want) // in vain, perhaps
						cancel()
					} else {
						a.Set(want)
					}
					if held := b.Held(); held > size || held < 0 {
						t.Errorf("%d of %d are held", held, size)
					}
				}
				a.Close()
			}
		})
	}
	wait.Wait()
	if b.Held() != 0 {
		t.Errorf("%d are held at the end", b.Held())
	}
}
