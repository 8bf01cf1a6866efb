"""Spoken sentences, with a star behind each word where the speaker might just as well have stopped.

Everywhere else a cut leaves something that is evidently unfinished.
"""

from collections.abc import Iterator

__all__ = ["SENTENCES", "cuts"]

# The tables of words were completed with these in view,
_KNOWN = """
What is the weather* like* in Paris* tomorrow* morning*
Can you set a timer* for ten* minutes* please*
I'd like to book* a table* for four* people* on Friday* evening*
Turn* on* the lights* in the kitchen* and close* the blinds*
My name is Anna* Schmidt* and I'm calling* about an invoice*
Could you please tell me what time* the pharmacy* closes* today*
I need to change* the delivery* address* of my last order*
How* do I get to the airport* from the main station*
Remind me to call* my mother* at six* tonight*
Send a message* to Peter* that I will be late*
Do you know if the museum* is open* on Mondays*
I think* we should meet* at the office* before the presentation*
When* does the next train* to Berlin* leave*
Please* play* some jazz* from the fifties*
I'm looking* for a birthday* present* for my daughter* who is seven*
The problem is that my phone* does not charge* anymore*
Where* can I find* a good restaurant* that is not too expensive*
Yes* I would like a coffee* with milk* and no sugar*
No* that's not what I meant* I said* the blue* one*
We were in Rome* last summer* and it was very hot*
If it rains tomorrow we will stay* at home* and watch* a movie*
Tell me a story* about a dragon* and a princess*
How much* does it cost* to ship* a parcel* to Canada*
Is there a direct flight* from Boston* to Lisbon* in May*
I have an appointment* with Doctor Miller* next Tuesday* at nine*
You can call* me* back* after five* because I'm at work* until then*
What are you looking* for*
Who are you talking* to*
Would you mind closing* the window* a little*
Let me think* about it* and I will get* back* to you*
I ordered* a pair of shoes* but they are too small* for me*
Can I pay* with a credit card* or only in cash*
She told me* that the meeting* was moved* to Thursday*
My daughter* is allergic* to nuts* so please* leave* them out*
What's the difference* between a crocodile* and an alligator*
I've been waiting* for more than an hour* and nobody* has answered*
Explain* to me* how a heat pump* works* in simple words*
Add* milk* eggs* and butter* to my shopping list*
Wake me* up* at half past six* tomorrow*
The doctor* said* that I should take* two pills* every day*
Could I have the soup* of the day* and a glass* of water*
We want to cancel* our subscription* at the end* of the month*
There is a strange noise* coming* from the engine* when I brake*
How* long* will it take* to repair* my laptop*
I don't know* what the problem is* but the screen* stays* black*
Put* the meeting* with Sarah* on my calendar* for Wednesday*
Which* bus* goes* to the university* from here*
I forgot* my password* and I cannot log in* to my account*
Are there any vegetarian* dishes* on the menu*
Book* me* a room* with a view* of the sea*
Why* is the sky* blue* during the day* and red* at sunset*
Translate* good morning* into Japanese* for me* please*
I would rather go* by train* than by car*
My parents* are coming* to visit* us* in August*
It would be great* if you could send* me* the report* by Friday*
Did you hear* about the new library* in our town*
He asked* whether the shop* delivers* to the islands*
Read* me* the first paragraph* of the article* about whales*
The last time* I was there* it was closed* for renovation*
I want you to remember* that I don't eat* meat* or fish*
Give me the phone number* of the nearest hospital*
Stop* the music* and turn* the volume* down* a bit*
Hello* can you help* me* with my internet* connection*
I would like to know how much money* is left* on my account*
Set* the temperature* in the bedroom* to twenty* degrees*
When is the best time* to visit* Japan*
My flight* was cancelled* and I need* a new* one* for tonight*
Do I need an umbrella* today* or is it going to stay* dry*
Tell me more* about the history* of this building*
The package* should have arrived* three days* ago* but it didn't*
Where did you buy* that jacket* with the red* zipper*
Could you repeat* the last* sentence* a bit* slower*
I'd prefer* a window seat* if you have one* available*
Who wrote* the book* that this film* is based on*
We are a party* of six* and two* of us* are vegetarians*
You know what* I changed* my mind*
Schedule a call* with the marketing team* for Monday* at eleven*
As soon as I get home I will check* the serial number* of the printer*
What should I do* if the fire alarm* goes* off* at night*
It hurts* when I bend* my knee* or climb* stairs*
Please* don't send* any more* emails* to this address*
Would it be possible to extend* my stay* until Sunday*
This is the third* time* I'm calling* because of the same* issue*
How* far* is it* from the hotel* to the beach*
Actually I meant* the large* size* instead* of the medium*
My boss* wants me* to finish* the slides* before lunch*
Find* a recipe* for lasagna* without meat*
Although it was raining we went* for a walk* along the river*
He works* for a company* that makes* electric* bikes*
Is it true* that bananas* are berries*
Move my dentist* appointment* from Tuesday* to Thursday* afternoon*
There were about fifty* people* at the party* and I knew* nobody*
I can't remember* the name* of the singer* who won* last year*
Why* don't we go* to the cinema* after dinner*
The password* for the wifi* is written* on the router*
If you see* him* please tell him* that dinner* is ready*
Count* from one* to ten*
"""

# and not with these, which must not be used for that, so that they keep showing what to expect of others.
_NEW = """
Can somebody* explain* why the elevator* is still broken*
I was hoping* you could recommend* a good book* for a long journey*
Put* two* cans of tomatoes* on the list*
The neighbours* upstairs* are making* a lot of noise* again*
Please* cancel* everything* after three* o'clock*
How* old* is the universe* according* to scientists*
My son* broke* his arm* so we spent* the whole* evening* at the hospital*
Is the shop* around the corner* open* on Sundays*
I haven't decided* whether to take* the job*
Let's go* with the cheaper* one* unless it takes* much longer*
Show me* photos* from our trip* to Norway*
Do they* accept* dogs* in this hotel*
She said* she would bring* her own* sleeping bag*
You* should* really* try* the soup* at that little* place* by the river*
What happens* when you mix* vinegar* with baking soda*
I paid* for express* delivery* and it still took* nine* days*
Tell* him* that the keys* are under the mat*
Who* is responsible* for the garden* in winter*
My account* number* ends* in seven* and I moved* to a new address*
Whenever I open* the app* it crashes* after a few seconds*
Could we start* a little* earlier* because I have another* meeting* at four*
That* is exactly* what I was afraid* of*
Increase* the brightness* of the lamp* next to the sofa*
They* live* in a small* village* that nobody* has ever heard* of*
Does this* medicine* make* you* tired* or can I drive* afterwards*
I'm not sure* if that's the right* form* for students*
Play* the song* that was on the radio* this morning*
There's a stain* on the shirt* which I bought* from you* yesterday*
Before we begin* I have a question* about the price*
Her* plane* lands* at noon* but the trains* aren't running*
"""

SENTENCES = {"known": _KNOWN.strip().splitlines(), "new": _NEW.strip().splitlines()}


def cuts(line: str) -> Iterator[tuple[str, bool]]:
    """A sentence cut behind each of its words but the last, and whether that is evidently unfinished."""
    words = line.split()
    for end in range(1, len(words)):
        yield " ".join(words[:end]).replace("*", ""), not words[end - 1].endswith("*")
