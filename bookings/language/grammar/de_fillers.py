"""German words that say nothing about time: politeness, verbs of wishing, words for an appointment."""

_SINGLE = """
am an im ins beim zum zur der die das den dem des ein eine einen einem einer eines ne nen nem n
ich wir sie mir mich uns ihnen ihr man er es du dir euch unser unsere meine meinen mein meiner ihre ihren ihrem
ich's wir's geht's gibt's wär's hätt's passt's ginge's wie's
hätte hätt hätten habe hab haben hat will wollen wollte wollten möchte möchten möcht mag kann können
könnte könnten könnt kriege kriegen krieg bekomme bekommen brauche bräuchte bräuchten brauchen brauch soll sollen
sollte sollten würde würden würd werde werden wird ist sind wär wäre wären sein bin gibt gäbe geben gebe geht
gehts gehen ginge gingen ging passt passen passe passte würde's macht machen mache mach klappt klappen klappe nehme
nehmen nimm nehm kommen komme komm käme kämen komm's vorbeikommen vorbeischauen buchen buche vereinbaren ausmachen
reservieren eintragen bestellen verschieben verlegen umbuchen ändern suche suchen finden findet schauen schau gucken
sagen sag sage sagt nachfragen fragen frage wissen weiß hören melden anrufen rufe treffen schaffe schaffen schafft
wünschen wünsche anbieten freihalten halten probieren versuchen anbiete
gern gerne bitte bitteschön danke dankeschön vielen dank hallo guten grüß gott grüezi servus moin hi hey ja jo jawohl
okay ok gut super prima toll klasse perfekt alles klar genau richtig stimmt sehr schön also so na naja tja ach oh
äh ähm öh öhm hm hmm mhm eh em ähh tschuldigung entschuldigung sorry verzeihung hören wiederhören tschüss
mal denn doch schon noch nochmal auch dann da dort hier eigentlich einfach halt eben ja wohl vielleicht eventuell evtl
ungefähr wirklich gerade grad grade wenigstens mindestens zumindest irgendwie irgendwo irgendein irgendeinen irgendeine
irgendwas etwas was wer wie lieber eher besser liebsten besten am_besten bevorzugt vorzugsweise idealerweise optimal
ideal günstig günstiger wahrscheinlich natürlich selbstverständlich gleich dabei dazu davon darauf daran
termin termine terminen termins terminchen zeit zeiten zeitpunkt zeitraum uhrzeit möglichkeit möglich platz slot
termine_frei freien freier freies freie frei offen verfügbar leer lücke was_frei drin
für zu bei um mit auf dass ob weil da_ und_zwar wieder erstmal zuerst jemand jemanden anderen andere anderer anderes
passend passender recht schlecht_ nur_ sagen_wir sagen_wir_mal meinetwegen möglichst bräucht kurz kurzen
vorstellen vorstellbar lassen lass lasst gesagt gedacht dachte denke denk glaube glaub meine
jeweils ganz relativ ziemlich tag tags datum wochentag anruf
habt hättet könntet wollt
quasi sozusagen praktisch ehrlich übrigens jedenfalls trotzdem sowieso eh nämlich zeitlich terminlich s tochter sohn
mann
frau mutter vater kind oma opa freundin freund meinem meiner seine seinen ihrer selber selbst persönlich telefonisch
ihn sie'n ham hamm wär'n könnt's hätten's haben's ginge's möcht's nix okey supi dankschön merci freut wunderbar
mehr hauptsache zusammen nun würden denken mitteilen vergeben einplanen einrichten hinkommen reinkommen rankommen
drankommen dran vormerken festmachen abmachen
"""
_SEVERAL = (
    "guten tag|guten morgen|guten abend|grüß gott|grüss gott|auf wiederhören|auf wiedersehen|schönen guten tag|"
    "am besten|am liebsten|wenn es geht|wenn's geht|wenn möglich|falls möglich|wenn das geht|wenn das möglich ist|"
    "wenn es möglich ist|wenn's möglich ist|falls es geht|falls das geht|wenn das passt|wenn es passt|wenn's passt|"
    "wenn sie da was haben|wenn sie da noch was haben|wenn da noch was frei ist|wenn das für sie passt|"
    "sagen wir|sagen wir mal|sagen wir einfach|ich meine ja|nicht wahr|geht das|ist das möglich|ist da noch was frei|"
    "um einen termin|einen termin|ein termin|vielen dank|schönen tag|noch einen schönen tag|schönen tag noch|"
    "geht es nicht auch|geht auch|ginge auch|wäre auch okay|wäre mir recht|das wäre|das wär|nicht wahr|oder so|"
    "um wie viel uhr auch immer|einen guten|wie wäre es|wie wär's|wie wäre es mit|wie sieht es|wie sieht's|"
    "wie schaut's|wie schaut es|wie sieht es aus|aus|sieht|es|gerne|uhrzeit ist egal|uhrzeit egal|die uhrzeit ist egal|"
    "egal um wie viel uhr|egal welche uhrzeit|zu ihnen|bei ihnen|einen kurzen termin|neuen termin|einen neuen termin|"
    "meinen termin|den termin|mein termin|der termin|von mir aus|auf jeden fall|ich glaube|das geht|da geht|da hätte|"
    "das passt|das passt mir|da passt es|da kann ich|da könnte ich|könnte ich|kann ich|hätten sie|haben sie|"
    "hätten sie da|haben sie da|haben sie da was|hätten sie da was|ist noch was frei|noch was frei|was frei|etwas frei|"
    "noch etwas frei|einen tag frei|hätte ich zeit|habe ich zeit|hab ich zeit|habe frei|hab frei|habe ich frei|"
    "hab ich frei|da hab ich frei|im laufe|im laufe des|im laufe der|laufe|voll|voll ist|belegt|ausgebucht|"
    "klappen würde|"
    "nichts frei|nichts mehr frei|nichts|irgendwann mal|das ganze|die stunde|geht bei mir|hatte gern|"
    "hatte gerne|bei mir|"
    "mir wäre|mir wär|wäre schön|wär schön|wäre super|wäre gut|wär gut|wäre toll|wär super|wär toll|wäre perfekt|"
    "im laufe des tages|nach meinem letzten stand|sicher ist das aber nicht|was soll ich versuchen|"
    "soll ich es versuchen|"
    "ich halte die zeit kurz für sie fest|soll ich das für sie eintragen|"
    "wäre mir am liebsten|was halten sie von|was halten sie vom|halten sie von|schönen guten morgen|"
    "guten morgen zusammen|"
    "ist nicht schlecht|wäre nicht schlecht|nicht schlecht|wär nicht schlecht|kein problem|"
    "ist mir am liebsten|würde mir passen|würd mir passen|würde passen|passt mir|passt mir gut|"
    "passt mir am besten|passt gut|passt am besten|passt es|kann ich gut|könnte ich gut|kann ich am besten|"
    "dieses jahr noch|einen friseurtermin|einen haarschnitt|zum haareschneiden|termin zum haareschneiden|"
    "friseurtermin|arzttermin|zahnarzttermin|einen arzttermin|einen zahnarzttermin|besichtigung|beratung|kontrolle|"
    "zur kontrolle|haarschnitt|massage|untersuchung|gespräch|beratungsgespräch|behandlung|rückruf"
)
FILLERS = tuple(word.replace("_", " ").strip() for word in _SINGLE.split()) + tuple(_SEVERAL.split("|"))
