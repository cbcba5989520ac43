"""Words that mean the same in a policy, by class, and words of which only one can hold.

A line is a class: its name, a colon, and its members in their base form, separated by commas. Names and members of
several words are allowed. To make two words comparable, put them on one line; a word belongs to the first class that
has it.
"""

from __future__ import annotations

# Verbs and prepositions that say no more than that something is said, stands there, or happens.
LIGHT = """
say: say, tell, state, mention, name, cite, quote, specify, indicate, note, declare, announce, inform, notify, advise,
  let know, make aware, keep informed, point out, apprise, word, phrase, express, communicate, convey, read, call,
  give notice, notification, break the news, bring up, refer to, identify, spell out, set out, speak, talk, find
give: give, provide, supply, offer, hand, deliver, issue, furnish, grant, present, get, receive, obtain, collect,
  be given,
  gain, have, own, contain, include, carry, bear, hold, feature, comprise, consist, come, supply, equip, bring,
  inclusion
show: show, display, write, put, place, print, render, set, type, list, enter, insert, add, use, employ, apply, make,
  do, go, run, appear, stand, be, become, see, take, have got, look, feel, seem, lie, sit, start off, carry out,
  perform,
  conduct, format, style, produce, create, draft, prepare, generate, compose, output, type out, follow, let, allow,
  permit,
  accept, enable, ensure, see to it, make sure, remember, want, need, wish, like, try, work, usage, happen, occur,
  treat,
  know, sort, kind, form, shape, manner, way, part, item, thing, matter, case, time, place, issue, topic, subject,
  question of
"""
VERB_CLASSES = """
ask: ask, request, inquire, enquire, question, query, demand, solicit, call for, find out, seek, prompt for, establish
answer: answer, reply, respond, response, write back, react, get back to
begin: begin, start, open, beginning, opening, commence, launch, initiate, kick off, lead with, top, outset, head,
  precede, first, initial, initially
end: end, close, finish, conclude, terminate, wind up, wrap up, ending, closing, conclusion, bottom, sign off, sign,
  finalise, last, final, finally
send: send, mail, dispatch, ship, transmit, submit, post out, despatch, fire off
transfer: transfer, escalate, forward, pass, hand over, pass on, refer, route, redirect, direct, hand off,
  put through, escalation,
  elevate, raise, report, handover, referral, delegate, relay, turn over, send on, reroute, take up with
share: share, disclose, reveal, divulge, release, leak, expose, pass along, make public, give away, publish,
  make known,
  disclosure, give out, publicise, publication, betray, air, hand out
explain: explain, describe, clarify, outline, define, elaborate, spell, illustrate, account for, explanation,
  description,
  unpack, gloss, definition, walk through, go through
warn: warn, caution, alert, warning, flag danger, flag, forewarn
remind: remind, reminder, prompt
recommend: recommend, suggest, propose, advocate, endorse, recommendation, suggestion, put forward, urge, encourage,
  nudge
promise: promise, guarantee, pledge, assure, commit, vow, undertaking, commitment, swear
confirm: confirm, verify, check, validate, authenticate, ascertain, double-check, verification, confirmation,
  make certain,
  cross-check, review, inspect, proof, test
approve: approve, authorise, authorize, sanction, clear, green-light, ok, okay, approval, authorisation,
  authorization, sign off on
consent: consent, permission, agreement, assent, leave, go-ahead, agree, opt in
keep: keep, store, retain, save, preserve, archive, hold on to, retention, storage, log, record, file,
  remain stored, stay
delete: delete, remove, erase, wipe, discard, destroy, purge, scrub, clear out, throw away, deletion, removal,
  shred, strip, cut,
  get rid of, dispose, drop, take down, bin, expunge
change: change, alter, amend, modify, edit, revise, adjust, update, amendment, modification, alteration, correction,
  correct,
  rewrite, rephrase, reword, fix, rectify, mend, adapt, move, reschedule, rebook, postpone
cancel: cancel, revoke, rescind, annul, call off, cancellation, withdraw, abort, void, scrap
book: book, reserve, booking, reservation, schedule, arrange, appointment booking
pay: pay, payment, settle, reimburse, disburse, remit, pay out, cover cost
refund: refund, give back, money back, repay, repayment, reimbursement, pay back
return: return, send back, take back
buy: buy, purchase, acquire, order, purchasing
sell: sell, vend, market, sale
charge: charge, bill, invoice, levy, fee
waive: waive, forgo, forgive, write off, drop charge
thank: thank, express gratitude, appreciate, thanks, gratitude
apologise: apologise, apologize, say sorry, apology, regret, sorry
greet: greet, welcome, salute, hail, greeting, say hello, address, salutation
contact: contact, reach, get in touch, approach, ring, phone, telephone, dial, write to
discuss: discuss, debate, comment, comment on, remark, discussion, opine, weigh in, speculate, go into, get into,
  talk about
praise: praise, compliment, commend, applaud, laud
blame: blame, accuse, fault, criticise, criticize, reproach, scold, rebuke, criticism, reprimand
translate: translate, translation, interpret, render into
summarise: summarise, summarize, sum up, recap, condense, boil down, summary, digest, abstract, synopsis, round-up,
  precis, overview
estimate: estimate, approximate, gauge, guess, guesstimate, ballpark, estimation
round: round, round off, round up, round down
calculate: calculate, compute, work out, reckon, tally, tot up, calculation, add up, total
limit: limit, cap, restrict, confine
help: help, assist, aid, support, assistance
stop: stop, halt, cease, quit, discontinue, suspend, pause, freeze
repeat: repeat, reiterate, restate, say again, echo, repetition, read back
reject: reject, turn down, deny, refuse, decline, dismiss, knock back, denial, rejection, rebuff, turn away
block: block, lock, ban, bar, freeze out, blacklist, lock out, shut out, suspend account
joke: joke, humour, humor, jest, quip, pun, wit, banter, wisecrack, funny remark, kid
diagnose: diagnose, diagnosis
prescribe: prescribe, prescription
link: link, hyperlink, url, web address, point to
attach: attach, enclose, append, attachment, enclosure, accompany
underline: underline, underscore, emphasise
number: number, numeral, enumerate, figure, digit
compare: compare, contrast, comparison, set against
convert: convert, conversion, turn into, express in
teach: teach, instruct, train, educate
mark: mark, grade, score, assess, evaluate, rate, rank, grading, assessment, marking
solve: solve, resolve, sort out, settle dispute, clear up, resolution, solution
install: install, set up, deploy, roll out
replace: replace, substitute, swap, exchange, replacement, substitution
compensate: compensate, recompense, make good, make up for, compensation, redress
mask: mask, redact, black out, blur, obscure, anonymise, anonymize, censor, pixelate, blank out
hurry: hurry, rush, speed
wait: wait, hold on, delay
visit: visit, call on, drop in
photograph: photograph, photo, picture, image, snapshot, pic, shot
arrive: arrive, arrival, land, turn up
leave: depart, departure, set off
die: die, death, pass away, decease, decease, deceased, demise
injure: injure, hurt, wound, injury, harm
smoke: smoke, smoking
fail: fail, failure, break down, go wrong, not work, malfunction
expire: expire, expiry, run out, lapse, expiration
forget: forget, lose, mislay, misplace
"""
NOUN_CLASSES = """
pupil: pupil, student, learner, schoolchild, trainee, undergraduate, class member
teacher: teacher, tutor, instructor, educator, professor, lecturer, schoolteacher, coach, trainer, mentor
child: child, kid, minor, youngster, infant, toddler, under-age person, juvenile, baby
parent: parent, guardian, mother, father, carer
relative: relative, family, kin, next of kin, relation, family member, loved one
doctor: doctor, physician, gp, clinician, medic, practitioner, general practitioner
nurse: nurse, nursing staff, sister
hospital: hospital, clinic, infirmary, ward, emergency room, a&e
medicine: medicine, drug, medication, pill, tablet, remedy, pharmaceutical
dose: dose, dosage, amount of medicine
illness: illness, disease, sickness, ailment, condition, disorder, complaint of health
patient: patient
lawyer: lawyer, attorney, solicitor, counsel, barrister, legal counsel
law: law, statute, legislation, act, regulation
lawsuit: lawsuit, litigation, legal action, suit, legal proceedings, court case, proceedings, claim in court
court: court, tribunal, judge, bench
manager: manager, supervisor, boss, team lead, line manager, duty manager, superior, head of department, foreman,
  team leader
human: human, live agent, real person, member of staff, colleague, employee, adviser, advisor, staff member,
  operator, person,
  human being, representative, rep, coworker, worker
expert: expert, specialist, professional, consultant
owner: owner, holder, proprietor, possessor, account holder
buyer: buyer, purchaser, shopper, acquirer
seller: seller, vendor, merchant, retailer, dealer, trader, shop, store owner
supplier: supplier, contractor, provider, subcontractor
competitor: competitor, rival, competition, other provider, other company, other firm
company: company, firm, business, organisation, organization, enterprise, corporation, employer
guest: guest, visitor, attendee, hotel guest
traveller: traveller, traveler, passenger, rider, commuter, holidaymaker, tourist
driver: driver, motorist, chauffeur, courier
tenant: tenant, renter, lessee, lodger, resident, occupant, householder
landlord: landlord, lessor, letting agent, property owner
neighbour: neighbour, neighbor, next door
player: player, gamer, contestant
reader: reader, readership, audience
author: author, writer, novelist, essayist, contributor
journalist: journalist, reporter, correspondent, press, media
donor: donor, giver, benefactor, supporter
member: member, subscriber, membership
applicant: applicant, candidate, job seeker, interviewee
policyholder: policyholder, insured, insured person, policy owner
citizen: citizen, constituent, inhabitant
police: police, cops, law enforcement, officer, constabulary
emergency: emergency, 911, 999, 112, emergency services, ambulance
threat: threat, menace, danger, hazard, peril
price: price, cost, rate, fare, tariff, charge for, amount due, how much
fee: fee, surcharge, levy
tax: tax, vat, duty, value added tax, gst, sales tax
discount: discount, reduction, rebate, markdown, money off, voucher, coupon, price cut
money: money, cash, funds, sum, currency
interest: interest, yield, apr
bill: bill, invoice, receipt, statement, sales slip
loan: loan, credit, mortgage, borrowing, lending
card: card, credit card, debit card, bank card, payment card
account: account, profile, login, user account
password: password, passcode, pin, passphrase, secret code, pass code, credential
salary: salary, wage, pay packet, earnings, remuneration, income, paycheck
budget: budget, spending limit
order: order, consignment, purchase order
parcel: parcel, package, delivery, shipment, packet
post: post, letter, mailing
email: email, e-mail, electronic mail, mail message
text message: text message, sms, text, texting
call: phone call, telephone call, telephone, phone
chat: chat, conversation, dialogue, dialog, exchange of messages, session, talk
ticket: ticket, case, support request, service request, issue ticket
message: message, note, communication, correspondence, memo
reply: reply, answer, response
name: name, title of person, forename and surname
surname: surname, last name, family name
first name: first name, forename, given name, christian name
age: age, how old, date of birth, birthday, years old, birth date
address: street address, home address, postal address, whereabouts, where they live
phone number: phone number, telephone number, contact number, mobile number
recording: recording, audio, tape, tape recording
transcript: transcript, log of chat, written record, transcription
report: report, write-up, account of events
document: document, file, paper, paperwork, form, certificate
contract: contract, agreement text, lease, tenancy agreement, deal, terms
article: article, piece, story, news item, post on blog, write up, item of news, column
essay: essay, composition, paper of pupil, coursework, assignment, homework
book: volume, title, novel, paperback
quotation: quotation, quote, extract, excerpt, citation, passage
source: source, reference, origin, evidence, authority, citation source, footnote source
picture caption: caption, legend
headline: headline, heading, header, title
list: bullet, bullet point, enumeration, bulleted list, bulleted
table: table, grid, chart
paragraph: paragraph, para
sentence: sentence, line
jargon: jargon, technical term, terminology, technical language, buzzword, legalese, specialist vocabulary
acronym: acronym, abbreviation, initialism, initials
slang: slang, colloquialism, street language
swear word: swear word, profanity, curse, obscenity, bad language, expletive, vulgarity, swearing
emoji: emoji, emoticon, smiley
exclamation mark: exclamation mark, exclamation point
bold: bold, bold type, boldface, bold print
italics: italic, italics, slanted type
capital: capital, upper case, uppercase, block letter, caps
brand: brand, trademark, trade name, make, manufacturer
product: product, article of trade, goods, merchandise, item for sale
plan: plan, package deal, subscription, tariff plan, contract plan
stock: stock, share, equity, security
fund: fund, investment fund, mutual fund, etf
investment: investment, invest, portfolio, investing
politics: politics, political party, party politics, election, candidate for office, partisan
religion: religion, faith, belief, creed
rumour: rumour, rumor, gossip, hearsay, speculation, unconfirmed report
merger: merger, takeover, acquisition
allergy: allergy, allergen, allergic
ingredient: ingredient, component, content of dish
recipe: recipe, dish, meal
diet: diet, eating plan, nutrition plan
weight: weight, how heavy
length: length, how long
distance: distance, how far
temperature: temperature, how hot, how cold, degree
deadline: deadline, due date, cut-off, closing date, time limit, last day
date: date, day on which, when it is
opening hours: opening hours, business hours, office hours, opening times
appointment: appointment, meeting, slot
stage: stage, step, phase
error: error, mistake, slip, fault, flaw, bug, typo, inaccuracy
problem: problem, trouble, difficulty, issue with
complaint: complaint, grievance, objection
exercise: exercise, task, drill, worksheet, practice question
hint: hint, clue, tip, pointer, cue
explanation: reason, why, rationale, grounds, justification
choice: choice, option, alternative
opinion: opinion, view, viewpoint, stance, position
advice: advice, counsel given, guidance
outcome: outcome, result, verdict
gambling: gambling, betting, bet, gamble, wager, wagering, casino
alcohol: alcohol, beer, wine, liquor, spirits, drinking
weapon: weapon, gun, firearm
plot: plot, storyline, narrative
ending: finale, denouement, last chapter
film: film, movie, picture show
car: car, vehicle, automobile, auto
plane: plane, aircraft, flight, aeroplane
train: train, rail service, railway
trip: trip, journey, voyage, travel, ride
holiday: holiday, vacation, leave of absence
luggage: luggage, baggage, bag, suitcase
room: room, bedroom, suite
hotel: hotel, lodging, inn, accommodation, guesthouse
house: house, home, dwelling, property, flat, apartment
repair: repair, maintenance, servicing, fix job
software: software, program, app, application, programme
website: website, web page, site, webpage, web site
picture: drawing, illustration, diagram, figure
customer: customer, client, user, caller, consumer, shopper, patron, person asking, enquirer
neighbourhood: neighbourhood, area, district
staff: staff, personnel, crew, workforce
city: city, town, municipality, council
government: government, authority, state agency
accident: accident, crash, collision, mishap
theft: theft, stolen, steal, burglary, robbery
fraud: fraud, scam, swindle, phishing, deception
damage: damage, breakage, defect, damaged
death threat: suicide, self-harm, kill oneself
privacy: privacy, private life
personal data: personal data, personal information, personal detail, private information, private detail, pii,
  private data
secret: secret, confidential, classified
fact: fact, figure of fact, statistic, datum
language: language, tongue, english
spelling: spelling, orthography
tone: tone, register, manner of speech, style
background: background, context, history
"""
# Adjectives and adverbs.
QUALITY_CLASSES = """
immediate: immediate, immediately, instant, instantly, at once, straight away, straightaway, right away,
  without delay, promptly,
  as soon as possible, on the spot, forthwith, directly
ahead: ahead, in advance, beforehand, prior, before, earlier, prior to, ahead of, previous
after: after, afterwards, later, following, subsequently, once, upon
short: short, brief, concise, succinct, terse, compact, pithy, briefly, concisely
long: long, lengthy, extended, detailed, in detail, extensive
full: full, complete, entire, whole, in full, fully, completely
cheap: cheap, cheapest, lowest price, low-cost, inexpensive, costs least, budget-friendly
formal: formal, formally, official
informal: informal, informally, casual, casually, chatty, colloquial
simple: simple, plain, easy, everyday, straightforward
correct: right, accurate, exact, precise
new: new, fresh, recent, latest, newest
old: old, elderly, aged, oldest
wrong: wrong, incorrect, false, mistaken, untrue, inaccurate
same: same, identical, equal, alike, uniform
free: free, free of charge, at no cost, complimentary, gratis
angry: angry, upset, furious, irate, annoyed, cross
public: public, publicly, open to all
private: private, privately, in private
urgent: urgent, urgently, pressing
sexual: sexual, erotic, sexually explicit, pornographic, explicit
violent: violent, gory, graphic, violence, gore
american: american, us english, american english, us
british: british, uk english, british english, uk, oxford
past: past, past tense
present tense: present tense
passive: passive, passive voice
active: active, active voice
first person: first person, first-person
third person: third person, third-person
second person: second person, second-person
alphabetical: alphabetical, alphabetically, alphabetical order, in the order of the alphabet
chronological: chronological, chronologically, by date, chronological order, date order
numeral: in figures, as digits, in digits, as figures, as numerals, in numerals
in words: in words, written out, spelt out, spelled out
numbered: numbered, numbered list
inclusive: inclusive, included, with tax, tax included, including
exclusive: exclusive of, excluded, excluding, exclude, without tax, net of, net
alone: alone, on their own, on its own, unaided, unassisted, by themselves, by itself
weekly: weekly, every week, each week, once a week
daily: daily, every day, each day, once a day
monthly: monthly, every month, each month, once a month
yearly: yearly, annually, annual, every year, each year, once a year
hourly: hourly, every hour, each hour, once an hour
morning: morning, before noon, am
afternoon: afternoon, pm
evening: evening, night
left: left, left-hand
right side: right-hand
anonymous: anonymous, anonymously, nameless, unnamed
signed: signed, by name
free text: prose, running text, continuous text
ascending: ascending, smallest first, lowest first, low to high
descending: descending, largest first, highest first, high to low
oldest first: oldest first, earliest first
newest first: newest first, latest first, most recent first
serif: serif
sans: sans-serif
near: near, nearest, closest, nearby, close by, next to
large: large, big, largest, biggest, great, huge
small: small, little, smallest, tiny, minor
fast: fast, quick, rapid, swift, quickly, fastest, quickest
slow: slow, slowly, gradual
safe: safe, secure, safely, securely
dangerous: dangerous, hazardous, risky, unsafe, perilous
main: main, principal, chief, primary, key, central
necessary: necessary, needed, required, mandatory, compulsory, obligatory
current: current, present, up-to-date, up to date, valid, in force
next: next, following, upcoming, coming
available: available, in stock, on offer
broken: broken, defective, faulty, out of order, damaged
foreign: foreign, overseas, abroad, international
ill: ill, sick, unwell, poorly
pregnant: pregnant, expecting, pregnancy
deaf: deaf, hard of hearing, hearing-impaired
blind: blind, visually impaired, partially sighted
disabled: disabled, handicapped, disability
missing: missing, lost, absent, lacking
late: late, delayed, overdue, belated, tardy
empty: empty, blank, void
unpaid: unpaid, outstanding, owing, in arrears, arrears
clear: clear, unambiguous, plainly
sad: sad, sorrowful, bereaved, grieving, in mourning
happy: happy, glad, pleased, satisfied
rude: rude, abusive, insulting, offensive
expensive: expensive, costly, dear, pricey
entire: entire, total, overall
joint: joint, shared, common
spoken: oral, spoken, verbal
written: in writing, in written form, on paper
initials: initials, initial letters
full name: full name, first and last name, whole name
specific: particular, individual, specific, certain
"""
# Values of one dimension: what has one of them does not have the others. A bar separates words of the same value.
DIMENSIONS = """
american, british, canadian, australian
celsius, fahrenheit, kelvin
gram|kilogram|kilo|kg|metre|meter|kilometre|kilometer|km|litre|liter|centimetre|cm|metric,
  ounce|pound weight|mile|foot|feet|inch|yard|gallon|stone|pint|imperial
euro|euros, dollar|dollars|usd, pound|pounds|sterling|gbp, yen, franc
spanish, french, german, italian, portuguese, dutch, polish, russian, turkish, arabic, hindi, chinese, japanese,
  korean, welsh, latin
past, present tense, future tense
first person, third person, second person
active, passive
formal, informal
first name|first names, surname|title and surname, initials, full name|full names
to the cent|to the penny,
  whole euro|whole dollar|whole pound|nearest euro|nearest dollar|nearest pound|next euro|next dollar
alphabetical, chronological, by price, by size
numeral, in words
list|numbered, free text, table
inclusive, exclusive
short, long
public, private
begin, end
ahead, after
ascending, descending
oldest first|oldest, newest first|newest
weekly, daily, monthly, yearly, hourly
morning, afternoon, evening
left, right side
capital, lower case|lowercase|small letter
anonymous, signed
serif, sans
keep, delete
approve, reject
ask, estimate|assume|presume
enable|switch on|turn on|activate, disable|switch off|turn off|deactivate
increase|raise|lengthen|enlarge|widen, decrease|lower|shorten|shrink|reduce|narrow
praise, blame
free, charge|fee
24-hour|twenty-four-hour|24-hour clock, 12-hour|twelve-hour|am|pm|12-hour clock
monday, tuesday, wednesday, thursday, friday, saturday, sunday
colour|color|in colour, black and white|monochrome|greyscale
single quotes|single quotation marks, double quotes|double quotation marks
singular, plural
true, false
serious, joke
accept, reject
optional|voluntary, mandatory|compulsory|obligatory|required
verbatim|word for word|literally, paraphrase|own words
rhyme|rhymed|rhyming, unrhymed|blank verse|free verse
hide|conceal|mask, share|show
"""
# Ways of sending, and those who act: they exclude each other only where a text says "only" or "all".
CHANNELS = """
email, text message, call, post, chat, fax, website, app, in person|face to face, courier|by hand
cash, card, store credit|credit note, voucher|gift card, cheque|check in the mail, bank transfer|wire transfer,
  direct debit
"""
# Verbs and expressions that turn a demand round: what follows them is forbidden.
REVERSALS = """
omit, exclude, withhold, hide, conceal, skip, avoid, refrain, refuse, decline, forbid, prohibit, suppress, deny, ban,
eschew, abstain, leave out, keep out, stay away from, steer clear of, shun, leave off, do without, dispense with, hold
back, keep quiet about, keep secret, keep silent about, stop, cease, drop, strip, neglect, resist, shy away from, stay
silent on, stay silent about, keep back, rule out, bar, disallow, keep mum about, off limits, off-limits,
  out of bounds,
taboo, unacceptable, impermissible, inadmissible, not allowed, banned, barred, forbidden, prohibited, remain silent,
stay out of, decline to, refuse to, free of, free from, devoid of, leave unsaid,
undisclosed, unmentioned, unnamed, keep clear of, keep away from, ignore, bypass, give a wide berth
"""
IRREGULAR_FORMS = """
told tell, given give, gave give, shown show, sent send, kept keep, made make, written write, wrote write, said say,
done do, did do, taken take, took take, broken break, broke break, held hold, met meet, paid pay, bought buy,
  sold sell,
spoken speak, spoke speak, left leave, begun begin, began begin, chosen choose, chose choose, found find, lost lose,
forbidden forbid, forbade forbid, hidden hide, hid hide, withheld withhold, known know, knew know, children child,
people person, tried try, led lead, seen see, saw see, gone go, went go, run run, ran run, put put, set set,
  read read,
brought bring, thought think, caught catch, taught teach, fallen fall, fell fall, felt feel, driven drive,
  drove drive,
grown grow, grew grow, drawn draw, drew draw, thrown throw, threw throw, worn wear, wore wear, torn tear, born bear,
forgotten forget, forgot forget, gotten get, got get, had have, has have, been be, was be, were be, is be, are be,
came come, become become, became become, stolen steal, stole steal, frozen freeze, froze freeze, risen rise,
  rose rise,
ridden ride, rode ride, eaten eat, ate eat, drunk drink, drank drink, sung sing, sang sing, rung ring, rang ring,
stuck stick, spent spend, lent lend, built build, meant mean, dealt deal, slept sleep, swept sweep, wept weep,
  understood
understand, stood stand, won win, shot shoot, lit light, bound bind, wound wind, fought fight, sought seek,
  heard hear,
laid lay, lain lie, lying lie, dying die, died die, tied tie, sworn swear, swore swear, woken wake, woke wake,
  hit hit,
cut cut, hurt hurt, let let, shut shut, split split, spread spread, cost cost, cast cast, bet bet, fed feed,
  bled bleed,
spelt spell, learnt learn, burnt burn, dreamt dream, leapt leap, knelt kneel, shrunk shrink, sunk sink, swum swim,
men man, women woman, feet foot, teeth tooth, mice mouse, lives life, wives wife, knives knife, halves half,
  leaves leaf,
criteria criterion, media media, data data, analyses analysis, diagnoses diagnosis, crises crisis, indices index
"""

# Verbs that something may stand between: "talk residents through", and what they say.
SPLIT_VERBS = """
put through: transfer, hand over: transfer, pass on: transfer, pass to: transfer, turn down: reject,
  turn away: reject, leave out: omit,
give back: return, send back: return, take down: delete, find out: ask, let know: tell, make aware: tell,
  call off: cancel,
talk through: explain, walk through: explain, take through: explain, keep secret: withhold, throw away: delete,
  pay back: refund,
put off: postpone, hold back: withhold, read back: repeat, ring up: call, call up: call, fill in on: tell,
  point to: link, pay out: pay,
set up: install, sum up: summarise, write off: waive, give away: share, keep from: withhold, keep out of: omit,
  cut out: delete,
check in: greet, sort out: solve, bring up: mention, switch off: disable, turn off: disable, switch on: enable,
  turn on: enable
"""
# Verbs of which a prohibition of one is broken by another.
FAMILIES_OF_ACTS = """
share, discuss, explain, recommend, repeat, answer, remind, praise, compare, summarise, estimate, diagnose
ask, confirm, seek, record
send, transfer, share, return
end, cancel, stop
change, replace, translate
approve, waive, promise, consent
delete, cancel
contact, call, visit, email, text message
"""
