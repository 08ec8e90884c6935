"""The projectors of the papers, trained and judged as Attune's own."""
