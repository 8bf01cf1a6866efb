"""How English sentences can end."""

from pipeline.core.words.lexicon import Lexicon, endings, phrases, words

__all__ = ["ENGLISH"]

ENGLISH = Lexicon(
    endings=endings(
        conjunction="""
            and, or, but, because, 'cause, cuz, if, unless, until, till, although, whereas, whether, nor
            than, as, so, since, while, when, whenever, where, wherever, who, whom, which, whose, why
            how, what, plus, and then, but then, so then, or else, so that, now that, such that
            given that, provided that, hope that, think that, believe that, sure that, fact that
            problem is that, thing is that, idea is that, reason is that, issue is that, point is that
            is that because, as soon as, even though, as long as, as well as, in case, except that
            wonder if, what if, even if, as if, once
        """,
        preposition="""
            of, at, to, for, from, with, into, onto, towards, toward, without, during, between, among
            against, via, per, within, upon, despite, except, regarding, concerning, including, versus
            like, in, on, by, about, over, through, under, behind, across, along, near, next to, due to
            such as, instead of, because of, out of, past, in front of, called, named, before, after
            beyond, besides
        """,
        article="""
            the, a, an, every, is no, are no, have no, has no, was no, and no, with no, the following
            another one of, one of the, a couple, a pair, a kind, a sort
        """,
        possessive="my, your, our, their, its",
        auxiliary="""
            is, are, was, were, am, isn't, aren't, wasn't, weren't, be, been, being, has, had, have
            hasn't, haven't, hadn't, will, would, can, could, shall, should, may, might, must, cannot
            won't, wouldn't, can't, couldn't, shouldn't, don't, doesn't, didn't, i'm, you're, we're
            they're, he's, she's, it's, that's, there's, here's, what's, who's, where's, how's, when's
            let's, i'll, you'll, we'll, they'll, he'll, she'll, it'll, that'll, there'll, i've, you've
            we've, they've, i'd, you'd, we'd, they'd, he'd, she'd, gonna, wanna, gotta, not, ought, does
            what do, how do, where do, when do, why do, who do, which do, did the, do the
        """,
        subject="""
            i, we, they, he, she, if it, that it, because it, when it, and it, but it, so it, if you
            that you, when you, but you, so you, because you, if there, and there, but there, that there
            what it, if that
        """,
        degree="""
            very, quite, such, extremely, fairly, slightly, a really, a pretty, a good, a nice, a big
            a small, a new, a great, an old, a long, a short, a quick, a different, a bad, a large
            a little more, the new, the big, the nearest, the entire, not too, are too, is too, was too
            were too, it's too, that's too, be too, way too, far too, much too, more and
        """,
        filler="""
            um, uh, uhm, umm, uhh, er, erm, hmm, hm, mm, ah, eh, you know, i mean, let me see, let's see
            let me think, let me check, let me look, what was it, how do i say, how do you say
            how should i say, what's it called, what do you call it, kind of like, sort of like
            something like, it's like
        """,
        lead_in="""
            i want, we want, he wants, she wants, they want, i need, we need, he needs, she needs
            they need, i'd like, i would like, we'd like, we would like, i'm looking, i was wondering
            i'm wondering, i wanted, i've got, i got, i'll have, i'll take, give me, show me, tell me
            send me, remind me, get me, bring me, let me, i'm trying, i was thinking, i'm thinking
            i'm calling, name's, there is, there are, there was, there were, it looks, it seems, i feel
            i heard, is called, was called, is named, it says, it said, i'd say, i live, i prefer
            i'd rather, i'd prefer, the thing is, the problem is, the point is, my name is
            the address is, the number is, i'd like to, i want to, i need to, i would like to
            we'd like to, we want to
        """,
        question="""
            do you know, did you know, do you have, do you want, do you think, do you need, do you like
            would you like, can i have, can i get, could i have, could i get, may i have, have you seen
            have you ever, have you got, is it possible, would it be possible, would you mind
            could you tell me, can you tell me, can you give me, can you show me, what kind, what type
            what sort, how many, what about, how about, are you able, are you going, do we have
            is there any, are there any, which one of, i was wondering if, is there anything
        """,
        digits="double, triple, digits, area code",
        spelling="""
            as in, spelled, spelt, dot, underscore, hyphen, slash, at sign, capital, double u as
        """,
        may_end="""
            think so, hope so, guess so, say so, said so, told you so, believe so, suppose so, or so
            do so, not so, even so, more so, if so, doing so, is that so, and so on, so so
            i'm afraid so, just because, a while, in a while, since when, say when, guess what, so what
            or what, you what, know what, tell you what, know why, tell me why, that's why, and why
            me why, know how, me how, you how, and how, somehow, know who, know where, me where
            no matter what, now what, then what, from where, guess who, you and i, so do i, so am i
            so have i, so did i, neither do i, nor do i, than i, as i, am i, like i, it like, she like
            he like, they like, you like, we like, i like, would like, that like, looks like, to like
            ever since, long since, never before, ever before, day before, night before, week before
            year before, as before, like before, day after, year after, soon after, shortly after
            morning after, hope not, why not, or not, course not, probably not, maybe not, certainly not
            definitely not, absolutely not, think not, guess not, afraid not, if not, am not, i'm not
            it's not, that's not, preferably not, better not, rather not, let it be, used to be
            it may be, as can be, wanna be, not be, i'd love to, would love to, don't want to
            didn't want to, don't have to, didn't have to, used to, not allowed to, if you want to
            if you have to, not going to, don't need to, listen to, talk to, look like, at once
            all at once, for once, more than once, are you not, is it not, isn't it, aren't you
            don't you, come with, deal with, start with, begin with, taken care of, get rid of
            of course, think of, heard of, kind of, sort of, ask for, pay for, wait for, look for
            call for, accounted for, come from, hear from, which is which, and all, at all, the whole
            the most, the least, in between, just like, do like, don't like, didn't like
            whatever you like, if you like, to and from, back and forth, how about you, what about you
            what about me, thereabout, so far, how many, i know how, a good one, and you, in may, by may
            of may, until may, this may, next may, since may, for may, last may, early may, late may
            i am too, he is too, she is too, they are too, it is too, some, any, more, each, next, last
            first, another, this, these, those, main, only, same, best, new, old, big, small, good
            other, few, many, his, her, two, three, four, tell, get, make, take, want, need, bring, put
            set, let, send, give, show, find, buy, add, ask, use, said that, told me that, know that
            me that, remember that, heard that, mean that, one that, things that, something that, doctor
            the problem, the question, log, at half, that, you from, he from
            she from, they from, that from, it from, this from
        """,
    ),
    whole=endings(
        filler="""
            well, so, like, actually, basically, anyway, anyways, right so, okay so, oh, now, listen
            look
        """,
        lead_in="""
            i think, i believe, i guess, i suppose, i know, i wonder, i hope, for example, for instance
            by the way, in addition, in other words, on the other hand, the thing, the problem
            the reason, first of all, to be honest, in fact, the question, my question, my problem
            if you, when you, when i
        """,
        question="""
            can, could, would, will, do, does, did, is, are, was, were, have, has, should
        """,
        list_="""
            first, firstly, second, secondly, third, number one, number two, one thing, two things
            two questions
        """,
        may_end="""
            why, how, what, when, where, who, which, so what, me, how much, how long, how far, how many
        """,
    ),
    answers=frozenset(
        phrases("""
            yes, yeah, yep, yup, yes please, no, nope, nah, no thanks, no thank you, okay, ok, sure
            alright, all right, right, correct, exactly, absolutely, definitely, certainly, indeed, stop
            stop it, cancel, thanks, thank you, thank you very much, thank you so much, thanks a lot
            thanks very much, bye, bye bye, goodbye, good bye, see you, see you later, hello, hi
            hi there, hello there, good morning, good afternoon, good evening, good night, never mind
            nevermind, that's all, that's it, that is all, that is it, of course, of course not, got it
            i got it, i see, sounds good, go ahead, go on, continue, next, next one, repeat, repeat that
            say that again, again, help, maybe, perhaps, possibly, probably, not really, not yet
            not now, not today, not at all, i don't know, i do not know, no idea, me too, me neither
            fine, great, perfect, cool, nice, wow, nothing, nobody, never, always, sometimes, sorry
            i'm sorry, pardon, excuse me, why not, both, neither, either, none, go back, quiet, be quiet
            shut up, enough, that's right, that's correct, that's fine, that's good, that's great
            i agree, agreed, done, i'm done, ready, i'm ready, i'm fine, i'm good, no problem
            you're welcome, welcome, tomorrow, today, tonight, yesterday, now, right now, later
            maybe later, please, please do, please stop, play, pause, skip, resume, undo, mute, unmute
            go away, hang up, end call, end the call, shut down, start over, start, begin, uh huh
            uh-huh, mm hmm, mhm, aha, ha, true, false, wrong, good, bad, very good, very well, not bad
            i understand, understood, makes sense, it depends, it works, i think so, i don't think so
            i guess so, i hope so, i hope not, if you like, if you want, if possible, that's enough
            that will be all, nothing else, nothing more, same here, how so, who's there, what's up
            what's new, my pleasure, take care
        """)
    ),
    closings=frozenset(
        phrases("""
            please, thanks, thank you, thank you very much, too, tonight, tomorrow, today, again, anyway
            instead, already, either, as well, or something, and so on, et cetera, etc, or not
            right now, at all, for me, right away, as soon as possible, about it, with it, for it, to it
            of it, from it, on it, this morning, this afternoon, this evening, next week, last week
            last night, yesterday, for now, thanks a lot
        """)
    ),
    binders=words("""
            what who whom whose which where how why when whatever whoever wherever nothing something
            anything everything someone anyone somebody anybody reason all things place
        """),
    particles=words("in on by over through under along around off up down out"),
    particle_verbs=words("""
            turn turned turning come coming came log logged sign signed hang hold go going gone goes
            went carry move moved put switch switched plug plugged check checked checking fill filled
            break broke give get got bring keep kept run running stop stopped drop think thinking look
            looking take pass passed walk walking fall stay started start try hop jump let pull push
            drive driving work worked call called count press tap click moving settle zoom tune dial
            join joined sleep figure find lie type typed left play playing blow pop step pick stand sit
        """),
    auxiliaries=words("""
            can could would will shall should do does did is are was were have has had may might must am
            can't couldn't wouldn't won't don't doesn't didn't isn't aren't haven't hasn't
        """),
    be=words("is are was were am"),
    subjects=words("i you he she it we they there"),
    adverbs=words("""
            please just also maybe possibly ever even really still always usually actually then
        """),
    questioners=words("""
            what who whom whose which where how why when what's who's where's how's
        """),
    skipped=words("""
            okay ok so well and but or yeah yes no right um uh erm hmm then also now actually oh hey hi
            hello alright like just please because
        """),
    conditions=words("""
            if when whenever although though unless once while as since after before
        """),
    main_clause=words("""
            i you he she it we they there that this i'll you'll we'll they'll i'm you're we're it's
            it'll then please can could would will what how where who tell call send let remind make
            turn set give show play book do does did is are should must nobody everybody everyone
            someone
        """),
    first=words("first firstly"),
    further=words("second secondly then next finally last lastly also third"),
    strandable=words("""
            what who whom whose which whatever whoever nothing something anything
            everything someone anyone somebody anybody reason place
        """),
    common=words("""
            it this these those his her him them us me he she you good time know go going see need want
            think people there here very well out up off back now new more some any other one two yes
            please thank thanks don't did said tell told make made take call called weather today
            tomorrow name number where's does long still home about right last next week day big look
            find buy book order flight play set turn got get
        """),
)
