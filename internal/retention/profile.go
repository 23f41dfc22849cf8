package retention

// Profile returns the least time for which records must be kept under a body of
// rules that names one; false for an unknown name.
//
//   - pci-dss: PCI DSS v4.0.1, requirement 10.5.1: audit log history of at least
//     12 months.
//   - hipaa: 45 CFR 164.316(b)(2)(i): documentation for 6 years.
//   - sox: 17 CFR 210.2-06: records of an audit or review for 7 years.
func Profile(name string) (Age, bool) {
	switch name {
	case "pci-dss":
		return Age{12, months}, true
	case "hipaa":
		return Age{6, years}, true
	case "sox":
		return Age{7, years}, true
	default:
		return Age{}, false
	}
}

// Profiles lists the names that Profile knows, sorted.
func Profiles() []string { return []string{"hipaa", "pci-dss", "sox"} }
