"""How sentences can end in German, Spanish, French, Italian and Portuguese, by the plainest words."""

from pipeline.core.words.lexicon import Lexicon, endings, phrases, words

__all__ = ["FRENCH", "GERMAN", "ITALIAN", "PORTUGUESE", "SPANISH"]

GERMAN = Lexicon(
    endings=endings(
        conjunction="""
            und, oder, aber, weil, dass, wenn, ob, denn, sondern, als, sodass, damit, bevor, nachdem
            während, obwohl, falls, sobald, solange, sowie, bzw, beziehungsweise, entweder, weder
            und dann, aber dann
        """,
        preposition="""
            von, für, ohne, gegen, seit, wegen, bis, zwischen, in, bei, im, am, zum, zur, beim, vom, ins
            ans, aufs, trotz, laut, pro, unter, hinter, neben, namens
        """,
        article="""
            der, die, den, dem, des, ein, eine, einen, einem, eines, kein, keine, keinen, keinem, jeder
            jede, jeden, jedes, diese, diesen, diesem
        """,
        possessive="""
            mein, meine, meinen, meinem, meiner, dein, deine, deinen, deinem, sein, seine, seinen
            seinem, ihre, ihren, ihrem, unser, unsere, unseren, unserem, euer, eure, ihr, ihrer
        """,
        auxiliary="""
            ist, sind, war, waren, bin, bist, hat, habe, haben, hatte, hatten, wird, werde, werden
            wurde, kann, können, könnte, könnten, muss, müssen, soll, sollen, sollte, will, wollen
            möchte, möchten, darf, dürfen, würde, würden
        """,
        subject="ich, wir, er, man",
        degree="sehr, ziemlich, ganz, besonders, ein bisschen mehr",
        filler="""
            äh, ähm, öh, hm, hmm, ähh, also, naja, na ja, mal sehen, moment mal, sagen wir, wie sagt man
            sozusagen
        """,
        lead_in="""
            mein name ist, ich heiße, ich möchte, ich hätte gern, ich hätte gerne, ich brauche
            ich suche, ich will, gib mir, zeig mir, sag mir, es gibt, meine nummer ist, die adresse ist
            ich wollte, ich wohne
        """,
        question="""
            können sie, kannst du, könnten sie, könntest du, haben sie, hast du, gibt es, was ist
            wo ist, wie ist, wer ist, wann ist, wie viel, wie viele, was für, wissen sie, weißt du
            möchten sie, darf ich, kann ich, soll ich, welche, welcher, welches
        """,
        digits="doppel",
        spelling="punkt, unterstrich, bindestrich, wie in",
        may_end="""
            das ist, es ist, es war, ich bin, ich auch, wer ist das, was ist das, bin ich, hab ich
            war ich, kann ich nicht, mit dir, bei mir, das kann ich, mache ich, mach ich, weiß ich
            denke ich, glaube ich, voll und ganz, nach und nach, ab und an, wie geht es ihr, mit ihr
            bei ihr, von ihr
        """,
    ),
    answers=frozenset(
        phrases("""
            ja, nein, nee, doch, okay, ok, gut, genau, richtig, stimmt, klar, natürlich, danke, ja bitte
            bitte, nein danke, danke schön, vielen dank, stopp, stop, halt, abbrechen, tschüss
            auf wiedersehen, hallo, guten morgen, guten tag, guten abend, vielleicht, keine ahnung
            ich weiß nicht, weiter, das ist alles, das war's, alles klar, in ordnung, ich auch
            noch nicht, nie, nichts, morgen, heute, wie bitte
        """)
    ),
    closings=frozenset(
        phrases("""
            bitte, danke, auch, morgen, heute, heute abend, danke schön, und so weiter
        """)
    ),
    binders=words("""
            dass weil wenn ob als was wo wie wer wann warum wohin woher die der das den damit bevor
            nachdem obwohl falls sobald welche welcher welches
        """),
    questioners=words("was wo wie wer wann warum wohin woher welche welcher welches wen wem"),
    skipped=words("okay ok ja nein also gut und aber äh ähm na hallo nun"),
    common=words("""
            ich du sie es wir ihr das nicht mit auf zu auch noch nur schon hier heute morgen mir dir
            mich dich was wo wie wer geht kommt machen nach aus um an vor über bitte danke gut uhr sich
            bei so dann heiße licht wetter
        """),
)

SPANISH = Lexicon(
    endings=endings(
        conjunction="""
            y, e, o, u, pero, porque, que, si, cuando, aunque, sino, ni, como, mientras, donde, pues
            para que, y luego, y entonces, ya que, así que, por si
        """,
        preposition="""
            de, a, en, con, por, para, sin, sobre, entre, hasta, desde, hacia, según, del, al, contra
            durante, cerca de, antes de, después de
        """,
        article="""
            el, la, los, las, un, una, unos, unas, cada, este, estos, estas, esos, esas, ningún, algún
            cualquier
        """,
        possessive="mi, tu, su, mis, tus, sus, nuestro, nuestra, nuestros, nuestras",
        auxiliary="""
            es, son, está, están, era, fue, ha, han, he, hay, estoy, soy, voy a, va a, puede, quiere, me
            se, te, lo
        """,
        subject="yo",
        degree="muy, tan, más o",
        filler="""
            eh, em, este, pues, bueno pues, o sea, a ver, digamos, déjame ver, cómo se dice
        """,
        lead_in="""
            me llamo, mi nombre es, quiero, quisiera, necesito, me gustaría, busco, estoy buscando, dame
            dime, mi número es, la dirección es, vivo, es que, creo que
        """,
        question="""
            puedes, podrías, puede usted, podría, qué, cuál es, cuál, cuáles, dónde está, cuánto
            cuántos, cuántas, hay, tienes, tiene, sabes, sabe si, quién es, cómo se
        """,
        digits="doble",
        spelling="punto, guion bajo, guion, arroba, como en",
        may_end="""
            por qué, y qué, y tú, y yo, lo es, sí lo es, para qué, no lo sé, ya está, aquí está
            bien está, cómo está, no está, lo sé, cómo es, qué es, por favor, y ya, hora es, más o menos
            ahí está, dónde está, eso es
        """,
    ),
    answers=frozenset(
        phrases("""
            sí, si, no, no gracias, sí por favor, gracias, muchas gracias, vale, de acuerdo, claro
            bueno, bien, muy bien, exacto, correcto, para, basta, adiós, hasta luego, hola, buenos días
            buenas tardes, tal vez, buenas noches, quizás, no sé, no lo sé, nada, eso es todo, ya está
            perfecto, está bien, cancelar, nada más, ahora no, todavía no, nunca, siempre, mañana, hoy
            yo también, continúa, ok, okay
        """)
    ),
    closings=frozenset(
        phrases("""
            por favor, gracias, también, mañana, hoy, ahora, ya, esta noche, etcétera
        """)
    ),
    binders=words("qué dónde cómo quién cuál cuánto"),
    questioners=words("qué quién dónde cómo cuándo cuál cuáles cuánto cuántos por"),
    skipped=words("sí no vale bueno pues y pero eh hola ok okay"),
    common=words("""
            yo él ella no sí está esta eso esto muy más para por con hola gracias bien favor quiero
            puedo qué cómo dónde cuándo hoy mañana tengo hacer ir llamo nombre número casa tiempo les le
            nos ya también hotel mesa
        """),
)

FRENCH = Lexicon(
    endings=endings(
        conjunction="""
            et, ou, mais, parce que, parce, car, que, qu', si, quand, lorsque, comme, donc, puisque
            puis, ni, alors que, et puis, et donc, afin que, pour que, bien que, qui, dont, où
        """,
        preposition="""
            de, d', à, en, dans, avec, pour, par, sans, sur, entre, chez, vers, depuis, pendant, jusqu'à
            du, au, aux, des, sous, près de, à côté de, avant de
        """,
        article="""
            le, la, les, l', un, une, ce, cet, cette, ces, chaque, quelques, aucun, aucune
        """,
        possessive="""
            mon, ma, mes, ton, ta, tes, son, sa, ses, notre, nos, votre, vos, leur, leurs
        """,
        auxiliary="""
            est, sont, était, étaient, a, ont, ai, avons, avez, suis, sommes, êtes, sera, peut, peux
            veux, veut, c'est, j'ai, il y a, n'est, n'a, ça fait, vais, va, je, j', tu, il, elle, ils
            elles, on, ne, n', se, me, te, y
        """,
        degree="très, trop, assez, si, plutôt",
        filler="""
            euh, heu, hum, ben, bah, eh bien, enfin, voyons, disons, c'est-à-dire, comment dire, tu sais
            vous savez
        """,
        lead_in="""
            je m'appelle, mon nom est, je voudrais, j'aimerais, je veux, je cherche, j'ai besoin
            donne-moi, dis-moi, mon numéro est, l'adresse est, j'habite, je pense que, je crois que
            mon numéro c'est
        """,
        question="""
            est-ce que, est ce que, qu'est-ce que, qu'est-ce qui, pouvez-vous, peux-tu, pourriez-vous
            pourrais-tu, avez-vous, as-tu, y a-t-il, où est, quel est, quelle est, quel, quelle, quels
            quelles, combien de, qui est, savez-vous si, sais-tu si, pouvez vous, avez vous, quand est
        """,
        digits="double",
        spelling="point, tiret, arobase, comme dans",
        may_end="""
            où, et toi, et vous, et moi, c'est ça, comme ça, vas-y, on y va, ça va, allons-y, j'y vais
            qui est-ce, je ne sais pas si, comme si, je peux, tu peux, tu veux, il est, où il est
            vous voulez, qui sait, ça y est, où est-il, oui et non, viens avec, je vais avec
            parce que oui, il va, elle va, comment ça va, je suis
        """,
    ),
    answers=frozenset(
        phrases("""
            oui, non, ouais, si, d'accord, ok, okay, merci, non merci, oui merci, s'il vous plaît
            s'il te plaît, bien, bien sûr, exactement, stop, arrête, arrêtez, au revoir, salut, bonjour
            bonsoir, bonne nuit, peut-être, je ne sais pas, rien, c'est tout, c'est bon, parfait
            très bien, ça va, annule, encore, jamais, demain, merci beaucoup, pas encore, pas maintenant
            moi aussi, vas-y, continue, voilà
        """)
    ),
    closings=frozenset(
        phrases("""
            s'il vous plaît, s'il te plaît, merci, aussi, demain, maintenant, ce soir, et cetera
        """)
    ),
    binders=words("où quoi comment quand qui quel quelle"),
    questioners=words("qui que quoi où quand comment pourquoi combien quel quelle qu'est-ce"),
    skipped=words("oui non d'accord ok okay alors bon ben euh et mais donc bonjour salut"),
    common=words("""
            je tu il elle nous vous ils on ne pas plus ça c'est j'ai qu'est est-ce bonjour merci oui
            quoi comment pourquoi très bien faire aller voudrais peux peut fait moi toi demain
            aujourd'hui plaît s'il heure temps m'appelle d'une d'un l'heure qu'il n'est jour nom
        """),
)

ITALIAN = Lexicon(
    endings=endings(
        conjunction="""
            e, ed, o, ma, perché, che, se, quando, anche se, però, oppure, né, come, mentre, dove
            quindi, cioè, poiché, e poi, e allora, così che, in modo che
        """,
        preposition="""
            di, a, da, in, con, su, per, tra, fra, senza, del, dello, della, dei, degli, delle, al, allo
            alla, ai, agli, alle, dal, dalla, dai, nel, nella, nei, negli, nelle, sul, sulla, sui, dell'
            all', nell'
        """,
        article="""
            il, lo, la, i, gli, le, l', un, uno, una, un', ogni, questo, questa, questi, queste, quel
            quella, quei
        """,
        possessive="""
            mio, mia, miei, mie, tuo, tua, tuoi, tue, suo, sua, suoi, sue, nostro, nostra, nostri
            vostro, loro
        """,
        auxiliary="""
            è, sono, era, erano, ha, hanno, ho, abbiamo, sta, stanno, sto, può, posso, vuole, c'è
            ci sono, mi, si, ti
        """,
        subject="io",
        degree="molto, troppo, così, più",
        filler="""
            ehm, eh, uhm, allora, cioè, diciamo, vediamo, fammi vedere, come si dice, insomma, beh
        """,
        lead_in="""
            mi chiamo, il mio nome è, vorrei, voglio, ho bisogno, sto cercando, cerco, dammi, dimmi
            mi serve, il mio numero è, l'indirizzo è, abito, credo che, penso che, mi piacerebbe
        """,
        question="""
            puoi, potresti, può, potrebbe, qual è, quale, quali, dov'è, quanto, quanti, quante, c'è
            ci sono, hai, sai se, che cos'è, chi è, cos'è, lei sa se, come si
        """,
        digits="doppio",
        spelling="punto, trattino, chiocciola, come in",
        may_end="""
            questo, questa, e tu, e io, così così, mi piace così, va bene così, è così, ok così, di più
            non lo so, anch'io, e lei, non posso, ora è, ore sono, lo so, ce l'ho, ci sono, non c'è, com'è
            dov'è, chi è, cos'è, che cos'è, di molto, basta così, anche io, e perché, quanto, ecco perché
        """,
    ),
    answers=frozenset(
        phrases("""
            sì, si, no, no grazie, sì grazie, grazie, grazie mille, va bene, ok, okay, certo, esatto
            giusto, bene, perfetto, basta, fermo, stop, ciao, arrivederci, buongiorno, buonasera
            buonanotte, forse, non lo so, niente, è tutto, d'accordo, per favore, annulla, ancora, mai
            sempre, domani, oggi, anch'io, non ancora, continua, capito, benissimo, prego
        """)
    ),
    closings=frozenset(
        phrases("""
            per favore, grazie, anche, domani, oggi, adesso, stasera, per piacere, eccetera
        """)
    ),
    binders=words("dove cosa chi quando perché quale quanto"),
    questioners=words("che chi cosa dove quando come perché quanto quale quali qual"),
    skipped=words("sì no ok okay allora bene e ma ehm ciao beh"),
    common=words("""
            io tu lui lei noi non sì è sono questo quello molto bene grazie ciao cosa dove quando perché
            voglio posso fare andare oggi domani anche più mi ti ci tempo chiamo nome numero buongiorno
            favore può che prenotare
        """),
)

PORTUGUESE = Lexicon(
    endings=endings(
        conjunction="""
            e, ou, mas, porque, que, se, quando, embora, nem, como, enquanto, onde, pois, então
            para que, já que, e depois, e então, só que
        """,
        preposition="""
            de, a, em, com, por, para, pra, sem, sobre, entre, até, desde, do, da, dos, das, no, na, nos
            nas, ao, aos, à, às, pelo, pela, num, numa, perto de, antes de
        """,
        article="""
            o, os, as, um, uma, uns, umas, cada, este, esta, estes, estas, esse, essa, esses, nenhum
            algum, qualquer
        """,
        possessive="""
            meu, minha, meus, minhas, teu, tua, seu, sua, seus, suas, nosso, nossa, nossos, nossas
        """,
        auxiliary="""
            é, são, está, estão, era, foi, tem, têm, há, estou, sou, vai, vou, pode, quer, me, te
        """,
        subject="eu",
        degree="muito, tão",
        filler="""
            hã, ahn, é que, tipo, tipo assim, bem, ou seja, deixa eu ver, deixe-me ver, digamos
            como se diz
        """,
        lead_in="""
            meu nome é, o meu nome é, me chamo, chamo-me, quero, queria, gostaria, eu preciso, preciso
            estou procurando, procuro, me diga, diga-me, meu número é, o endereço é, eu moro, acho que
        """,
        question="""
            você pode, você poderia, pode me, poderia, qual é, qual, quais, onde está, onde fica, quanto
            quantos, quantas, você tem, tem algum, você sabe se, sabe se, o que, quem é, como se
        """,
        digits="duplo",
        spelling="ponto, arroba, hífen, traço, como em",
        may_end="""
            obrigado, e você, e eu, por que, por quê, o quê, e aí, está bem, como está, eu também, pode
            é isso, muito bem, não está, aqui está, quanto é, já vou, eu vou, não é, sim é, horas são
            não pode, não tem, onde é, bem, não vou, não quero
        """,
    ),
    answers=frozenset(
        phrases("""
            sim, não, não obrigado, não obrigada, obrigado, obrigada, muito obrigado, muito obrigada, ok
            okay, tá bom, está bem, claro, certo, exato, exatamente, pare, para, tchau, até logo, olá
            oi, bom dia, boa tarde, boa noite, talvez, não sei, nada, é tudo, só isso, é só isso
            perfeito, por favor, cancelar, de novo, nunca, sempre, amanhã, hoje, eu também, ainda não
            continua, sim por favor, tudo bem, com certeza
        """)
    ),
    closings=frozenset(
        phrases("""
            por favor, obrigado, obrigada, também, amanhã, hoje, agora, hoje à noite
        """)
    ),
    binders=words("onde quem como quando qual quanto"),
    questioners=words("que quem onde quando como quanto qual quais"),
    skipped=words("sim não ok okay então bem e mas olá oi bom"),
    common=words("""
            eu você ele ela nós não sim é são isso isto muito mais obrigado bom dia tudo bem quero fazer
            ir hoje amanhã também já onde quando porquê tenho me meu minha nome número estou casa tempo
            reservar mesa
        """),
)
