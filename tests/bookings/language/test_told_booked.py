"""Sixty endings per language: told of a booking, or only offered it, asked about it, denied it."""

import pytest

from bookings.language.told_booked import told_booked

DE_TOLD = """\
Ich habe Sie für Dienstag um zehn Uhr eingetragen.
Ihr Termin ist gebucht.
Super, gebucht!
Der Termin steht.
Ihr Termin am Mittwoch um neun steht fest.
Ich habe Ihnen den Termin reserviert.
Sie sind für Freitag, den vierten, um elf Uhr eingetragen.
Alles klar, der Termin ist bestätigt.
Wunderbar, ich habe das gebucht. Bis Donnerstag!
Dann bis Dienstag um zehn Uhr.
Wir sehen uns dann am Montag um acht.
Wir freuen uns auf Sie am Samstag um halb zehn.
Ihr Termin wurde auf Donnerstag verschoben.
Ich habe Ihren Termin auf elf Uhr verlegt.
Sie haben einen Termin am fünften Dezember um neun Uhr.
Perfekt, das habe ich für Sie eingetragen.
Die Buchung hat geklappt.
Ihre Buchungsnummer ist K sieben M P vier Q.
Ich habe Sie umgebucht auf Freitag.
Der Termin ist jetzt fest eingetragen.
Okay, Herr Weber, Sie sind eingeplant.
Der Termin wurde vereinbart, Sie bekommen eine Bestätigung.
Ich habe den Haarschnitt bei Emma für Sie gebucht.
Alles erledigt, Ihr Termin steht.
""".splitlines()
DE_NOT = """\
Soll ich den Termin für Sie buchen?
Ich kann Sie für Dienstag um zehn eintragen.
Leider ist dieser Termin schon gebucht.
Dieser Termin ist bereits vergeben.
Das hat leider nicht geklappt.
Ich konnte den Termin nicht buchen.
Der Termin ist noch nicht bestätigt.
Ich werde Sie gleich eintragen.
Sobald der Termin bestätigt ist, bekommen Sie eine Nachricht.
Möchten Sie, dass ich das für Sie reserviere?
Darf ich Sie für elf Uhr eintragen?
Am Dienstag um zehn Uhr hätte ich noch frei.
Ich trage das für Sie ein.
Einen Moment bitte, ich buche das gerade.
Haben Sie schon einen Termin gebucht?
Am Mittwoch ist leider alles ausgebucht.
Es ruft Sie jemand zurück.
Ich habe notiert, dass Sie zurückgerufen werden möchten.
Ihr Termin wurde storniert.
Ich habe Ihren Termin abgesagt.
Der Termin wird gerade eingetragen, Sie bekommen Bescheid.
Wenn der Termin gebucht ist, hören Sie von uns.
Ich habe keinen Termin für Sie gebucht.
Wie ist Ihr Name?
Haarschnitt bei Emma am Dienstag um zehn Uhr. Passt das?
Ich halte Ihnen die Zeit so lange frei.
Um zehn Uhr ist Emma schon anderweitig eingeplant.
Möchten Sie den Termin verschieben?
Ich könnte Sie auf Freitag umbuchen.
Der Termin ist gleich gebucht, sobald Sie zustimmen.
Soll der Termin fest eingetragen werden?
Es wurde nichts gebucht.
Ich versuche, den Termin zu buchen.
Vielen Dank für Ihren Anruf, auf Wiederhören.
Diese Zeit ist belegt, aber um elf hätte ich noch etwas.
Dann muss ich erst nachsehen, ob das gebucht werden kann.
""".splitlines()
EN_TOLD = """\
You're booked for Tuesday at ten.
I've booked that for you.
Your appointment is confirmed.
You're all set for Friday at nine.
Great, booked!
See you on Monday at eight thirty.
I have you down for Thursday at eleven.
I've put you down for three o'clock.
Your appointment is on Wednesday at ten.
That's been scheduled for you.
You are all set.
We'll see you on Tuesday.
Your appointment has been moved to Friday.
I have rescheduled your appointment to noon.
It's reserved for you, Mr. Weber.
Everything's confirmed for the fifth of December.
Your confirmation number is K seven M.
I've got you down for a haircut with Emma.
Perfect, you are booked with Emma on Tuesday.
Done, your haircut is booked.
Okay, that is booked now.
Your new time is confirmed, Friday at two.
You have an appointment on Tuesday at ten.
We look forward to seeing you on Thursday.
""".splitlines()
EN_NOT = """\
Shall I book that for you?
I can book you in for Tuesday at ten.
Unfortunately that time is already booked.
We are fully booked on Wednesday.
I couldn't book that appointment.
That didn't work, sorry.
Your appointment is not confirmed yet.
I'll book that for you now.
Would you like me to reserve it?
Once it is confirmed, you will get a message.
Let me check.
I'm booking that for you.
Do you have an appointment booked already?
Tuesday at ten is still free.
Someone will call you back.
I have made a note of it.
Your appointment has been cancelled.
I've cancelled that for you.
It has not been booked.
If that works, it can be confirmed right away.
What is your name?
Haircut with Emma on Tuesday at ten. Is that right?
I'm holding that time for you.
Emma is already booked at ten.
Could you repeat the date?
I might have something on Friday.
Nothing has been booked.
I was unable to get that confirmed.
Thanks for calling, goodbye.
That slot is taken, but eleven would work.
Before it is booked I need your name.
Are you booked with us already?
I would like to have that confirmed first.
It will be booked as soon as you agree.
We haven't booked anything.
Should the appointment be moved?
""".splitlines()


@pytest.mark.parametrize("sentence", DE_TOLD)
def test_german_promise_is_heard(sentence: str) -> None:
    assert told_booked(f"Agent: {sentence}\nUser: Danke.", "de")


@pytest.mark.parametrize("sentence", DE_NOT)
def test_german_sentence_that_promises_nothing_is_none(sentence: str) -> None:
    assert not told_booked(f"Agent: {sentence}\nUser: Ja, gebucht.", "de")


@pytest.mark.parametrize("sentence", EN_TOLD)
def test_english_promise_is_heard(sentence: str) -> None:
    assert told_booked(f"AI: {sentence}\nUser: Thanks.", "en")


@pytest.mark.parametrize("sentence", EN_NOT)
def test_english_sentence_that_promises_nothing_is_none(sentence: str) -> None:
    assert not told_booked(f"AI: {sentence}\nUser: Okay, I'm booked.", "en")


def test_promise_that_is_taken_back_is_none() -> None:
    said = "Agent: Ich habe Sie eingetragen.\nAgent: Entschuldigung, die Buchung hat doch nicht geklappt."

    assert not told_booked(said, "de")


def test_transcript_without_speakers_is_read_in_full() -> None:
    assert told_booked("Your appointment is confirmed. Bye!", "en")


def test_empty_transcript_promises_nothing() -> None:
    assert not told_booked("", "de")
