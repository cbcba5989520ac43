"""Families of aims that pull apart, as the words in which policies ask for them.

Each entry: an aim, its expressions, the opposing aim, its expressions. Expressions are separated by commas; `*` stands
for the rest of a word, `~` for up to four words, and `a/b` for either word.
"""

from __future__ import annotations

AIMS: tuple[tuple[str, str, str, str], ...] = (
    (
        "brevity",
        """short, shorter, shortest, brief*, concise*, succinct*, terse*, crisp*, pithy, compact*, to the point,
        in a nutshell, a/one/single/two/three sentence/sentences/line/lines/paragraph, in a single sentence, one-line*, one-sentence,
        a few words, few words, fit/fits on ~ screen/page/card/line, at a glance, no longer than, at most ~ words/sentences/lines/paragraphs,
        under ~ words/sentences, within ~ words/sentences, up to ~ words/sentences, ~ words or fewer, ~ words at most, ~ sentences at most,
        no more than ~ words/sentences/lines, condense*, minimal, bare minimum, only the headline, one paragraph, economical with words,
        waste no words, yes or no, one word, keep it simple, cut to, keep* ~ under, keep* ~ below, time limit, in under, no more than ~ minutes, under ~ minutes, within ~ minutes""",
        "completeness",
        """completely, completeness, complete list/picture/account/answer/instructions/history/overview/information/description/explanation, in full, fully, full/detailed answer/account/explanation/list/description/picture/story/history/instructions,
        thorough*, comprehensive*, exhaustive*, in detail, in depth, in-depth, at length, every/each/all ~ exception/exceptions/step/steps/detail/details/
        risk/risks/option/options/side effect/condition/conditions/caveat/clause/clauses/alternative/alternatives/cause/causes/ingredient/ingredients/
        reason/reasons/fee/fees/source/sources/document/documents/stage/stages/aspect/aspects/point/points/argument/arguments/item/items/requirement/
        requirements/factor/factors/contraindication/contraindications/symptom/symptoms/rule/rules/form/forms/part/parts/charge/charges/
        possibility/possibilities, nothing left out, leave/leaves nothing out, leave nothing unsaid, leave no ~ unanswered,
        step by step, from start to finish, the whole story, the whole picture, nothing ~ missing, omit nothing, with all ~ background, cover* everything/all,
        explain* everything, miss nothing, elaborate*, every one of, each and every, as long as ~ needs/need/takes/wants/want, as much time, take ~ time, without rushing, never rush*, no hurry, until ~ satisfied/understood/understands/clear/mastered/done, unhurried*""",
    ),
    (
        "frankness",
        """frank*, blunt*, candid*, honest*, truthful*, unvarnished, straight, plainly, the truth, bad news, hard truths, as it is, as they are,
        as published, survival rate*, the odds, the real chances, real prospects, criticise*, criticize*, point/points out ~ error/errors/mistake/mistakes/
        weakness/weaknesses/flaw/flaws/fault/faults, say/tell* ~ is weak/bad/poor/wrong, without sugar-coating, do not sugar-coat, no sugar-coating,
        does not hide, unfiltered, without softening, no softening, not soften*, without cushioning, full severity, tell* ~ what is wrong, every weakness, every flaw, actual figures, prognos*, failure rate*, exact chance*,
        low odds, to their face, shortcomings, call out, statistics as they are""",
        "comfort",
        """comfort*, reassur*, sooth*, soften*, gentle, gently, console*, hope, hopeful, encourag*, uplift*, cheer*, positive, upbeat, optimis*,
        spare/spares ~ feelings/pain/distress/details/fear/fears/worry/anxiety/shock/grief, feel* good/better/hopeful/encouraged/safe/calm/supported/welcome/at ease, at ease, good mood, good spirits,
        praise*, morale, confidence, self-esteem, kind words, kindly, lift* ~ spirits, compassion*, tactful*, calm* ~ down, avoid* ~ upset*/distress*/alarm*,
        not upset, not alarm, without alarming, without upsetting, put ~ at ease, feelings, motivated, motivat*""",
    ),
    (
        "autonomy",
        """autonomy, self-determination, own choice/choices/decision/decisions, let/lets/leave/leaves ~ decide/choose/make, decide for themselves/himself/herself,
        decides for, up to the/them/him/her, go/goes along with, respect* ~ choice/choices/decision/decisions/wishes/wish/refusal/preference/preferences/no, accept* ~ decision/choice/wishes/refusal, honour* ~ wishes/choice/decision,
        honor* ~ wishes/choice/decision, has/have chosen, whatever ~ choose/chooses/chosen/decide/decides/wants/want, freely choose, as they see fit, as ~ sees fit, on their own terms,
        follow* ~ wishes/wish/choice/preference/preferences, defer to the, ~ has the last word, ~ has the final say, free to, no interference,
        make their own, makes his or her own, make up their own mind, right to choose, stick to the ~ wish*, support* ~ decision/choice""",
        "protection",
        """protect*, safeguard*, keep* ~ from, keep* ~ safe, prevent*, discourage*, dissuade*, talk* ~ out of, steer* ~ away, stop* ~ from, shield*, persuade*, convince*, urge*, get ~ to take/accept/stop/see/quit/eat, insist* on, make sure ~ takes/take/accepts,
        endanger*, hazard*, harm*, unsafe, jeopardi*, out of harm*, safety, warn* ~ against, intervene*, advise* ~ against, best interest*,
        put* ~ health first, welfare, wellbeing, well-being, risky, override*, overrule*, look* after""",
    ),
    (
        "neutrality",
        """neutral*, impartial*, even-handed*, take/takes/taking no side/sides, not take sides, no side, does not take sides, both sides, unbiased, objective*, balanced, all sides,
        equal weight, equal space, equidistan*, without taking sides, no preference, not favour*, not favor*, stay/stays out of, keep/keeps out of, keep no opinion,
        express no opinion, no opinion, never take sides, leave/leaves ~ opinion out""",
        "advocacy",
        """stand/stands up for, side/sides with, speak/speaks up for/against, defend*, advocate*, champion*, take/takes ~ part/side of, take/takes the ~ side, support/supports the weaker, back/backs the,
        campaign*, condemn*, denounce*, stick/sticks up for, fight/fights for, on the side of, in favour of, in favor of, take a stand, call out, plead*, argue/argues for,
        denounces, rally, promote* ~ cause/values, recommend* ~ candidate, endorse*""",
    ),
    (
        "sales",
        """premium, upsell*, up-sell*, get ~ to buy/order/upgrade/subscribe/join, talk ~ into buying, cross-sell*, upgrade/upgrades, promote/promotes/promoting, advertis*, mention/mentions ~ plan/offer/offers/products/subscription, revenue, profit*, margin*, sell/sells/selling,
        push/pushes, pitch*, our own products/brand, own-brand, house brand, paid plan, sales target*, add-on/add-ons, promotion/promotions, most expensive, higher tier, gold plan, highest commission, commission*, partner product*, extended warranty, sponsor*""",
        "the customer's interest",
        """cheapest, costs ~ least, cost ~ least, lowest price/cost/fee/rate, low* cost, least expensive, save/saves ~ money, saving/savings, free alternative*, free option*, best deal, best value, in the ~ interest, in ~ best interest*,
        needs the least, only what ~ needs/need, does not need, do not need, no more than ~ needs/need, budget, affordable, good value, smallest plan, spend less, without pressure, no pressure, competitor*, suits ~ best, fits ~ best, unbiased""",
    ),
    (
        "the learner's own work",
        """find/finds/work/works/figure/solve/solves/do/does ~ alone/themselves/himself/herself/unaided/own, on their own, on his or her own, by themselves, alone, unaided, for themselves, for himself, independent*,
        hint/hints only, only hints, a hint instead, without giving ~ answer/solution, not give ~ answer/solution/answers/solutions, never give ~ answer/solution, no solutions, no answers, discover*, struggle*, guide ~ with questions, socratic, withhold ~ solution/answer, one hint, own effort, own words""",
        "the right answer",
        """correct/right answer/solution/result, full/worked/model solution/solutions/answer/answers/example, show/shows/give/gives/provide/provides/reveal/reveals/explain/explains ~ answer/solution/answers/solutions, answer key, leave/leaves ~ with the ~ answer/solution, every answer, correct* every/each/any/all ~,
        solve ~ for, walk ~ through, complete solution, knows the answer, gets the answer, has the answer, without wrong answers""",
    ),
    (
        "speed",
        """immediate*, at once, straight away, right away, instant*, without delay, fast, faster, fastest, quick, quickly, quicker, quickest, prompt, promptly, swift*, rapid*, speed*, soon, soonest, as soon as, same day, same-day, within ~ second/seconds/minute/minutes, in under ~ second/seconds/minute/minutes,
        in ~ seconds/minutes/hours, the moment, the minute, the instant, at the first sign, in one turn, in the first message/reply/turn, first/initial reply, first to, on the spot, no waiting, not keep ~ waiting, never keep ~ waiting, without waiting, before anyone else, briskly, short queue*, in real time, breaking, without follow-up, without asking, resolve* ~ in one""",
        "care",
        """careful*, check* ~ twice, double-check*, verif*, cross-check*, check/checks every/each/all, check/checks/checked ~ against/for/with/before/source/sources/facts/every/each, confirm*, two sources, three sources, at least ~ sources, second source, second opinion, proofread*, review/reviews ~ before/every/each/all, test* ~ before, accura*, precis*, only once ~ confirmed, only after, only when ~ sure, consult*, investigate*, wait/waits for, wait/waits until,
        take* ~ time, research*, every clause, read ~ in full, thorough*, ask ~ before, asks for ~ before, question before, clarif*, ask/asks ~ question/questions, in depth, get ~ right, scrutini*, validate*, until ~ certain/sure/clear/mastered/understood/understands/confirmed/checked, approved by, sign-off""",
    ),
    (
        "consistency",
        """consisten*, same ~ to/for everyone/everybody/all/every, the same way, the same ~ for, alike, equal/equally, uniform*, standard* ~ wording/reply/answer, identical*, no exception/exceptions, without exception, to the letter, by the book, strict*, in every case, in all cases, same answer, same terms, same price, same treatment, same rule/rules, same wording, fixed, never deviate*, never depart, always apply, apply/applies ~ to all/every/each/everyone, charge ~ every/each/all, no special treatment, first come, template*, verbatim, script*""",
        "flexibility",
        """flexib*, case by case, case-by-case, individual* ~ case/circumstances/needs, bend*, exception/exceptions for, make* ~ exception*, make* ~ allowance*, allowances, leeway, discretion, adapt*, adjust*, tailor*, personali*, customi*, depending on, lenien*, goodwill, good-will, waive*, depart/departs from, deviate/deviates, suit* ~ needs, to fit the, meet ~ halfway, circumstances into account, hardship, improvise*, vary/varies, own style, own situation, special treatment, loyal, long-standing""",
    ),
    (
        "low cost",
        """cheap, cheaper, cheapest, low* cost, lowest price, lowest-priced, least expensive, costs ~ least, cost ~ least, inexpensive, save* ~ money, save* ~ cost, saving*, cut* ~ cost/costs, keep* ~ cost/costs/expenses/spending, minimi* ~ cost/costs/spending/expense, within ~ budget, economical*, thrift*, frugal*, reduce* ~ cost/costs/spending, affordable""",
        "quality",
        """quality, last/lasts ~ longest, longest-lasting, durab*, best-made, finest, premium, top-rated, highest rated, most reliable, best available, best-performing, most effective, original part/parts, genuine part/parts, brand-name, sturd*, safest, longest warranty, luxur*, freshest, organic, the best ~, most comfortable, high-end, first-class, sustainab*, local* produced, environment*, greenest, carbon, emissions, footprint, fair trade, fair-trade, ethical*, recycl*, eco-friendly""",
    ),
    (
        "openness",
        """transparen*, open/opens about, share/shares/sharing ~ with/everything/all, disclose*, disclosing, report/reports any/every/all/each, exactly why, reveal*, publish*, tell/tells ~ everything/all/why/about, inform/informs ~ of/about, full access, on request, make* ~ public, explain* how/why, explain* ~ decision/decisions, show* ~ reasoning, answer* every/any/all, candid*, give/gives ~ parents, give/gives ~ family, keep/keeps ~ informed, notify/notifies, openly, let ~ know""",
        "confidentiality",
        """confiden*, secret*, keep/keeps/stay/stays/remain/remains ~ private, privacy of, respect* ~ privacy, protect* ~ privacy, guard* ~ privacy, anonym*, discreet*, discretion, keep/keeps ~ to itself/yourself/themselves, not share*, never share*, not disclose*, never disclose*, not reveal*, never reveal*, not tell, never tell, undisclosed, between ~ and, stay/stays/remain/remains/kept ~ secret/private/confidential/internal, protect* ~ identity/data/sources, internal, behind closed doors, nobody else, no one else, reveal/reveals nothing, disclose/discloses nothing, share/shares nothing, say/says nothing, under wraps, trade secrets, no details of""",
    ),
    (
        "fidelity",
        """faithful*, stick/sticks to the, word for word, verbatim, literal*, close to the ~, exactly as, as it was, as they were, as he or she said, as spoken, as written, as it stands, preserve*, own wording/punctuation/spelling/rhythm/phrasing, keep/keeps ~ style/voice/wording/text, author's own/voice/style/words, writer's own/voice/style/words, leave/leaves ~ wording/text/style/voice/sentences, unchanged, untouched, accurate to, true to, historical* accura*, traditional*, classic, authentic*""",
        "improvement",
        """improve*, rewrite*, polish*, rework*, reword*, correct* every/each/all/any, fix/fixes every/each/all/any, rephrase*, smooth*, natural*, idiomatic*, fluent*, modern*, creativ*, originality, original idea/ideas/phrasing, invent*, surpris*, fresh, imaginat*, embellish*, liven*, lively, vivid*, entertain*, tighten*, cut/cuts ~ every, moderni*, reads well, read well, easy to read/understand/follow/grasp, adapt*, playful*, experiment*, dramati*, exaggerat*""",
    ),
    (
        "formality",
        """formal, formally, formality, surname, title and surname, sir or madam, by ~ title, official* ~ tone/language/style, no slang, no contractions, no jokes, no humour, no humor, dignified, businesslike, business-like, solemn*, restrained, full title, reserved, serious*, ceremon*, protocol, sober*, sombre, distance, legal language, in a professional""",
        "warmth",
        """informal*, casual*, colloquial*, chatty, slang, joke/jokes/joking, humour*, humor*, first name/names, warm*, friendly, friend, relaxed, easy-going, like a friend, emoji*, personal* ~ note/touch/word/words, small talk, banter, light-hearted, playful*, fun, contractions, conversational*, everyday language, cosy, down-to-earth, on first-name terms, cheer*, familiar*, jovial*, laid-back, nickname*, make* ~ laugh, witt*""",
    ),
    (
        "self-service",
        """without ~ human/agent/staff/person, itself, on its own, without transfer*, without handing, without escalat*, self-service, reduce/reduces/avoid/avoids ~ escalation/escalations/transfer/transfers/handover/handovers/hand-offs, in the chat, within the chat, by the bot, resolve* every/each/all/any ~, deflect*, keep/keeps ~ in the chat, no human, automat*, no handover, first contact, solve/solves every/each/all""",
        "handing over",
        """hand/hands over, hand/hands ~ to a/the, transfer* ~ to a/the, escalate* ~ to, escalate/escalates, pass/passes ~ to a/the/human, refer/refers ~ to, put/puts ~ through, connect/connects ~ to/with, speak/talk to/with a/an, human agent, live agent, a person, leave/leaves ~ to a, call in""",
    ),
    (
        "trust",
        """take/takes ~ word, take/takes ~ at ~ word, benefit of the doubt, believe*, trust, trusts, no proof, without proof, without evidence, without asking for ~ proof/receipt/evidence, no questions asked, no receipt, on trust, assume* ~ good faith, assume* ~ truth, good faith, accept* ~ account/statement/claim/word, at face value, presume* ~ innocent""",
        "verification",
        """proof, prove, proves, evidence, verif*, authenticat*, receipt, identif*, check* ~ identity/claim/story/record/records/documents/whether, ask/asks for ~ photo/photos/document/documents/id, suspicio*, doubt*, sceptic*, skeptic*, fraud*, confirm* ~ claim/identity, two forms, security question*, test/tests ~ claim, documented, before believing, question/questions ~ claim, scrutini*""",
    ),
    (
        "security",
        """security, two-factor, second factor, password/passwords ~ every/each, identity ~ every/each, verif* ~ identity, strong authentication, log/logs ~ out after, extra check*, additional check*, strict checks, authenticat*, every login, lock/locks, security question*""",
        "convenience",
        """convenien*, as few ~ as, fewest, few steps, fewer steps, one click, single click, one-click, without logging in, no login, effortless*, not make ~ repeat, hassle-free, no fuss, easy as, easiest, stay/stays logged in, stay/stays signed in, keep/keeps ~ signed/logged in, smooth*, frictionless, quick checkout, without ~ password, no password, skip ~ check/checks, remember/remembers ~ password/details""",
    ),
    (
        "a definite answer",
        """definite*, one recommendation, a single recommendation, one clear, commit/commits to, decisive*, unequivocal*, clear-cut, clear answer, straight answer, without hedging, no hedging, never hedge*, yes or no, pick/picks one, name/names the best, single best, confident*, firm answer, take a position, sure of itself, a direct answer, one option, only one""",
        "hedging or choice",
        """uncertain*, hedg*, caveat*, doubt*, may be wrong, might be wrong, unsure, limits of ~, several options, all options, all the options, range of options, at least ~ options, both options, each option, pros and cons, alternatives, admit/admits ~ know/unknown, confidence level, error margin, margin of error, possible explanations, depends, list/lists ~ options/alternatives, present/presents ~ options/alternatives/choices, choice of, qualify, tentative*, disclaim*, leave ~ open""",
    ),
    (
        "keeping people",
        """keep/keeps ~ talking/engaged/playing/reading/watching/subscribed/conversation/going/online/membership/chat, retain*, retention, persuade/persuades ~ stay/keep/remain, talk/talks ~ into staying, win/wins ~ back, offer/offers ~ stay, longer sessions, engagement, dissuade/dissuades ~ cancel*/leaving, save ~ subscription, discount ~ cancel*, come back, return ~ tomorrow, before ~ cancel*, try/tries to keep, reason to stay, loyalty""",
        "letting go",
        """cancel/cancels ~ at once/immediately/without/straight/as, take/takes ~ break, log/logs off, let/lets ~ leave/go/cancel, respect* ~ wish* to leave/cancel, end/ends/close/closes ~ conversation/chat/session ~ as soon/when/once/quickly/after, process* ~ cancellation*, make* ~ easy to ~ cancel/leave, without argument, no attempt to keep, limit/limits ~ screen/playing/time, time limit, bedtime, stop after, without ~ questions, at the first request, one click, easy to leave""",
    ),
    (
        "the company's interest",
        """defend/defends ~ company/firm/brand/store/hotel/airline/bank/school/decision/policy, protect/protects ~ company/firm/brand/reputation/image/margin/revenue, good light, positive light, reputation, company line, admit/admits no, no admission, never admit*, not admit*, liabil*, loyal to ~ company/firm/brand, speak/speaks well of, avoid/avoids blame, speak/speaks highly, own products, company's interest*, shareholder*, keep/keeps ~ refunds/payouts/costs/claims""",
        "the customer's side",
        """admit/admits ~ mistake/mistakes/error/errors/fault/faults/failure, acknowledge/acknowledges ~ mistake/mistakes/error/errors/fault/faults/failure/failings, own/owns up, take/takes ~ side, apologise/apologises ~ for, apologize/apologizes ~ for, customer is right, customer's interest*, client's interest*, on the customer's side, compensate/compensates, generous*, refund/refunds ~ in full/every/any/whenever/without, known defect*, known fault*, known problem*, shortcoming*, drawback*, accept/accepts ~ responsibility/blame, offer/offers ~ refund/compensation, maximi* ~ refund/compensation/payout, drawbacks, independent advice""",
    ),
    (
        "staying on topic",
        """stay/stays/keep/keeps ~ on topic/point/task/business, stick/sticks to ~ topic/subject/matter/business/question/syllabus, on-topic, nothing but ~, no small talk, only about, to the question asked, answer/answers only, no digression*, confine*, limit ~ conversation, focus/focuses on, off-topic""",
        "going beyond",
        """small talk, anecdote*, chat/chats about, digress*, anything ~ asks/ask/wants, any topic, any subject, whatever ~ asks/ask/wants, beyond the question, related topics, volunteer*, proactive*, curiosity, explore*, tangent*, rapport, ask/asks about ~ day/family/weekend, interests, other topics, fun fact/facts, get/gets to know""",
    ),
    (
        "plain words",
        """plain words/language/english, simple words/language/terms/english, everyday words/language, no jargon, jargon-free, without jargon, child/layperson/beginner/novice/newcomer ~ understand*, lay terms, layman*, easy words, short words, common words, easy to understand/read, simplif*, reading level, eighth-grade, primary-school, words ~ knows/know/understands/uses/use, basic vocabulary, without technical""",
        "exact terms",
        """technical term/terms, technical vocabulary, terminology, exact term/terms/wording/name, precise term/terms/wording/language, official term/terms/name, scientific name/names, latin name/names, statutory, legal term/terms/wording, wording of the ~, clinical term/terms, medical term/terms, nomenclature, specialist vocabulary, specialist terms, as defined in, the terms of, icd, proper name of, correct term/terms, academic*""",
    ),
    (
        "the user's wish",
        """exactly as ~ asks/asked/wants/requested, do/does what/whatever/everything/anything, give/gives ~ what ~ asks/want/wants/asked, whatever ~ asks/ask/wants/want/requests, comply/complies, follow/follows ~ instruction/instructions/order/orders/request/requests/wish/wishes, fulfil*, every request, any request, all requests, each request, grant/grants, as requested, as instructed, as asked, obey*, follow/follows/honour/honours/honor/honors ~ wishes/wish/request/requests, accommodate*, never refuse*, no refusals, meet/meets every, answer/answers every/any/all, as ~ as the user wants, on demand, always help*""",
        "a limit",
        """refuse/refuses, decline/declines, turn/turns down, turn/turns away, reject/rejects, forbidden, not allow*, even if ~ asks/ask/insists/insist/wants, whatever the ~ says, no matter what, regardless of what, only what ~ allows/allow/permits/policy, illegal, unlawful, against the law, dangerous, outside the policy, deny, denies, say no, says no, withhold*, within the, by the rules, by the book, the rules of, regulation*, protocol, statute*, cut ~ off, policy allows, harmful""",
    ),
)
