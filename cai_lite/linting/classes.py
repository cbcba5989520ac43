"""Word classes that the reading of sentences and the comparison of principles rest on."""

from __future__ import annotations

from cai_lite.linting.words import words_of

NEGATORS = words_of(
    "not never no cannot can't don't doesn't mustn't shouldn't won't isn't aren't neither nor nothing none"
)
# Verbs that turn a demand round: "omit the price" is "do not include the price", "allow" is "you may".
REVERSING_VERBS = words_of(
    """
    omit exclude withhold hide conceal skip avoid refrain refuse decline forbid prohibit block suppress deny ban
    reject eschew abstain
    """
)
# Verbs that say no more than that something stands in the reply, or is done.
GENERAL_VERBS = words_of(
    """
    include add mention name state give show use write contain put tell provide say display list cite quote have
    make do be insert print allow permit accept let end begin convert express
    """
)
SAME = {
    member: members[0]
    for members in (
        ("ask", "request", "inquire", "enquire"),
        ("tell", "inform", "notify", "advise", "notified"),
        ("immediate", "immediately", "instantly", "straightaway", "promptly"),
        ("verify", "check", "authenticate"),
        ("refuse", "decline", "reject"),
        ("disclose", "reveal", "divulge"),
        ("begin", "start", "open"),
        ("end", "close", "finish", "conclude"),
        ("help", "assist"),
        ("buy", "purchase"),
        ("get", "receive", "obtain"),
        ("repair", "fix"),
        ("give", "provide", "supply"),
        ("write", "written"),
        ("client", "customer", "user", "caller"),
        ("show", "display", "present"),
        ("mention", "name", "state", "cite"),
        ("two", "2"), ("three", "3"), ("four", "4"), ("five", "5"), ("six", "6"), ("seven", "7"), ("eight", "8"),
        ("nine", "9"), ("ten", "10"), ("twelve", "12"), ("twenty", "20"), ("thirty", "30"), ("fifty", "50"),
        ("sixty", "60"), ("hundred", "100"),
    )
    for member in members
}  # fmt: skip
IRREGULAR = dict(
    pair.split(":")
    for pair in words_of(
        """
        told:tell given:give gave:give shown:show sent:send kept:keep made:make written:write wrote:write said:say
        done:do taken:take took:take broke:break broken:break held:hold met:meet paid:pay bought:buy sold:sell
        spoken:speak left:leave begun:begin began:begin chosen:choose found:find lost:lose forbidden:forbid
        hidden:hide withheld:withhold known:know children:child tried:try tries:try used:use using:use led:lead
        discussing:discuss identities:identity
        """
    )
)
# Subjects after which a verb in the third person or the indicative is a demand: who answers, and what is answered.
OUTPUT = words_of(
    """
    assistant model ai bot system agent agents chatbot tutor you we staff advisor adviser moderators operator reply
    replies response responses answer answers message messages text texts summary summaries story stories letter
    letters report reports email emails it they
    """
)
# Function words, and words that every policy has: they say nothing about what a demand is about.
UNIMPORTANT = words_of(
    """
    a an the and or of to in on at for from with by as is are be been being was were it its this that these those
    their his her your you they them he she we us our i me my all any each every both either neither one if when
    where while who whom whose which what how than then so such only own same other another can could should must
    may might shall will would do does did not no never always assistant model agent agents bot chatbot ai reply
    replies response responses answer answers user users person people customer customers client clients caller
    callers staff have has had about into over out there here also too just even still yet again once ever please
    don't doesn't can't cannot won't mustn't under circumstances regarding concerning whether per via already far
    must needs need
    """
) - {"before", "after", "without"}
