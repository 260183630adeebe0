// The space-time diagram: one lane per buyer, one for the store.
