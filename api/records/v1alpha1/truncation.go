package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TruncationReason says why a list ends before its end.
type TruncationReason string

// Why a list ends before its end.
const (
	// TruncatedWithoutWindow: the list was given no beginning (the field
	// selector `from`), so it ends after the newest records.
	TruncatedWithoutWindow TruncationReason = "NoWindow"
	// TruncatedFilterTooLarge: the selectors do not fit into a continue token.
	TruncatedFilterTooLarge TruncationReason = "FilterTooLarge"
)

// Truncation says that there are more records than the list gives, even when it
// is followed to its end.
type Truncation struct {
	// Reason is `NoWindow` for a list that was given no `from`: it ends after the
	// newest 500 records. It is `FilterTooLarge` when the selectors do not fit
	// into a continue token.
	// +required
	Reason TruncationReason `json:"reason"`

	// Oldest is the time of the oldest record that the list gave. Those that are
	// missing are as old or older.
	// +required
	Oldest metav1.MicroTime `json:"oldest"`

	// Continue is a token with which the list goes on where it ended, for another
	// 500 records. It is absent where there can be none.
	// +optional
	Continue string `json:"continue,omitempty"`
}
