"""Finds out by single words what a sentence wants of an ability, where no template fits: people
tell a story around their request. A sentence needs a word that nobody says unless they want this
ability, and a word that says what is to be done."""
