package storetest

func checks() []check {
	return []check{
		{name: "random records and queries", do: randomAnswers},
		{name: "each kind of filter with each value", do: filterKinds},
		{name: "pages of every size end where the records do", do: pageSizes},
		{name: "records arrive between two pages", do: pagingBetweenAppends},
		{name: "records arrive while pages are read", do: pagingDuringAppends},
		{name: "large records end a page early", do: largePages},
		{name: "records of one instant are ordered by id", do: equalTimes},
		{name: "records that are there already", do: appendOutcomes(asRecords)},
		{name: "prepared records that are there already", do: appendOutcomes(asPrepared)},
		{name: "records, prepared or not, that are there already", do: appendOutcomes(alternately())},
		{name: "many records in one call", do: appendMany(asRecords)},
		{name: "many prepared records in one call", do: appendMany(asPrepared)},
		{name: "prepared records are lent", do: preparedLent},
		{name: "prepared records that are none", do: preparedSpoiled},
		{name: "several writers with the same records", do: appendTogether},
		{name: "values at the limits of normalising", do: limits},
		{name: "scopes", do: scopes},
		{name: "many questions at once", do: batches},
		{name: "interrupted callers", do: interrupted},
		{name: "refused questions and absent records", do: refused},
		{name: "the store stops in the middle", outage: true, do: outage},
	}
}
