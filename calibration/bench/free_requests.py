"""Requests in people's own words, to judge on: they follow no template of an enrolment or a corpus.

A base projector meets the templates of `corpus/training_requests.py` thousands of times; these
requests show how far it goes beyond them.
"""

FREE_REQUESTS = tuple(
    """\
Could you lower the blinds a little before the film starts?
The baby just fell asleep, so keep your voice down.
Which bus gets me to the hospital before noon?
I burnt the porridge again, how do I save the pan?
Let my daughter know that her parcel has arrived.
How many spoons of yeast go into a loaf?
Somebody rang the bell, can you see who it was?
Skip this song and find something older.
My glasses must be on the shelf next to the radiator.
Explain to me why the moon has craters.
Is the swimming pool open during the holidays?
Put a reminder on Thursday that the plumber comes.
What did the doctor say about the new tablets?
Has anybody fed the rabbits this morning?
Give me three rhymes for silver.
The wind is too strong, roll up the awning.
I need a taxi to the station in half an hour.
Does the pharmacy around the corner sell plasters?
Read the last chapter once more, but slower.
Who won the match between Norway and Portugal?
Warn me when the oven is hot enough.
My knees are stiff, suggest an exercise for old people.
How would you say good night in Spanish?
Store the recording under the name of my grandson.
Why does bread go stale faster in the fridge?
There is water dripping from the ceiling of the cellar.
Check whether the back door is still unlocked.
Which of these mushrooms are poisonous?
Forget what I said about the invitation.
The candles on the cake have to be counted again.
How heavy is a fully grown elephant?
Write a short letter to the bank about the missing card.
Could it snow in the mountains before the weekend?
Pause the vacuum cleaner while I am on the phone.
I dropped a stitch, what do I do now?
Wake the children gently, and then make coffee.
Are there any trains to the coast after midnight?
Tell the caretaker that the lift is stuck again.
Which planet is closest to the sun?
Let us practise the names of the bones in the hand.
Make sure that the freezer stays shut.
How long may I keep boiled eggs?
The cat is scratching at the window, please let her in.
Look after the pot of soup while I shower.
When was the first bicycle built?
Charge the wheelchair before we go out.
Is this medicine safe with grapefruit juice?
Find out how to fold a napkin like a swan.
My neighbour plays the drums, drown him out.
Where can I borrow a wheelbarrow for the garden?
Compare the prices of the two washing machines.
Hum a tune that helps me fall asleep.
The fuse blew when I plugged in the kettle.
Did the postman leave anything in the box?
Sort the photographs by the year they were taken.
I would rather hear the story about the lighthouse.
How do bees find their way home?
Ring my office and say that I have a fever.
Choose a colour for the fence that hides the dirt.
What is the opposite of generous?""".splitlines()
)
