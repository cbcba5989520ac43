"""Larger word lists: vague words by what they leave open, character, and the ways of forbidding."""

from __future__ import annotations

from cai_lite.linting.words import words_of

# What a word leaves open, and the words.
VAGUE_FAMILIES: dict[str, frozenset[str]] = {
    "say what one would see": words_of(
        """
            delicately discreetly gracefully skilfully skillfully smartly judiciously prudently conscientiously
            considerately attentively cautiously constructively productively efficiently competently expertly
            attractively nicely beautifully elegantly neatly tidily sympathetically empathetically compassionately
            maturely humanely decently equitably proportionately convincingly persuasively pleasantly cordially amicably
            diplomatically fittingly aptly tastefully graciously deftly eloquently credibly engagingly vividly warmly
            patiently kindheartedly polished catchy compelling captivating attractive appealing stylish classy
            first-rate top-notch world-class outstanding superb exemplary impeccable flawless vibrant dynamic impactful
            powerful memorable inspiring immersive enjoyable satisfying readable digestible coherent cohesive
            well-written well-structured well-organised well-organized well-researched well-rounded well-balanced
            well-crafted holistic sophisticated nuanced insightful constructive productive competent reputable sturdy
            weighty convincing persuasive on-brand relatable crisp snappy punchy presentable becoming seemly apt
            resonate resonates delight delights wow wows captivate captivates entice entices impress impresses enthral
            enthrall dazzle dazzles thought-provoking eye-catching authoritative welcoming uplifting empowering
        """
    ),
    "say how much": words_of(
        """
            plenty considerable considerably substantial substantially generously sparingly moderately minimally
            numerous extensively slightly noticeably markedly sizeable sizable liberally copious scant scarce abundant
            abundantly proportionate disproportionate disproportionately modestly vastly roughly
        """
    ),
    "say within what time, or how often": words_of(
        """
            shortly speedily speedy swiftly swift expeditiously rapidly periodically occasionally regularly frequently
            seldom rarely punctually
        """
    ),
    "say what is": words_of(
        """
            unsuitable undesirable distasteful controversial sensational questionable dubious shady toxic hurtful unfair
            unjust unkind upsetting sloppy messy clumsy boring dull tedious verbose long-winded wordy superfluous
            gratuitous trivial petty untoward unseemly tacky tasteless unpleasant unprofessionally insensitively crude
        """
    ),
    "say where it ends": words_of(
        "feasible practicable realistic workable tolerable fair-minded sane prudent judicious"
    ),
}
_THINGS = (
    r"(?:\w+ )?(?:points?|facts?|information|details?|aspects?|takeaways?|ideas?|messages?|features?|considerations?|"
    r"elements?|themes?|arguments?|findings?|issues?|topics?|context|differences?|questions?|moments?)"
)
VAGUE_EXPRESSIONS = (
    r"(?:as|so|in so) far as (?:is )?(?:reasonably )?(?:practicable|possible|feasible|reasonable|practical|"
    r"appropriate)",
    r"(?:as|when|where|if|whenever|wherever) (?:it is |this is |that is )?(?:reasonably )?(?:practical|practicable|"
    r"warranted|called for|"
    r"desirable|sensible|prudent|convenient|suitable|justified|at all possible|reasonable|helpful|advisable|merited)",
    r"as [\w-]+ as (?:the )?(?:situation|context|case|occasion|circumstances|topic|question|matter|subject) "
    r"(?:demands?|requires?|allows?|warrants?|permits?|needs?|calls? for)",
    r"as (?:the )?(?:situation|context|occasion|circumstances) (?:demands?|requires?|allows?|warrants?|dictates?|"
    r"permits?)",
    r"(?:right|wrong) (?:tone|length|level|amount|balance|pitch|style|mood|mix|degree|approach|note|moment|depth|"
    r"register|"
    r"spirit|attitude|kind|sort|size|number|way|touch|pace|time)",
    r"(?:decent|healthy|fair|certain|modest|generous|comfortable|sensible|manageable|small|limited|fair|handsome|"
    r"respectable) "
    r"(?:number|amount|length|degree|level|extent|quantity|proportion|portion|share|deal|size|selection|range)",
    rf"(?:key|main|crucial|essential|vital|salient|pertinent|noteworthy|notable|central|principal) {_THINGS}",
    r"(?:essence|gist|crux|spirit|heart|soul|flavou?r|mood|feel) of (?:the|a|an|its|their|this|each|every)",
    r"in (?:good|bad|poor) taste",
    r"on[- ]brand|off[- ]brand",
    r"(?:best|good|sound|standard|accepted|industry) (?:industry )?practices?|industry standards?",
    r"up to (?:standard|scratch|par|snuff)",
    r"the extra mile|above and beyond",
    r"(?:human|personal|light|delicate|deft|soft|gentle|warm) touch",
    r"(?:meet|meets|suit|suits|fit|fits|serve|serves|match|matches|satisf\w+) (?:\w+(?:'s|s')? ){0,4}(?:needs|"
    r"expectations|tastes?)",
    r"(?:keep|keeps) (?:it|things|everything) (?:simple|short|light|brief|real|tidy|professional|friendly|"
    r"interesting|fun)",
    r"(?:they|it|he|she|each|everyone|each one) (?:\w+ )?deserves?|engages? (?:the )?(?:readers?|users?|audiences?|"
    r"listeners?|pupils?|visitors?)|appeals? to (?:the )?\w+",
    r"(?:special|extra|particular) (?:handling|treatment|care|attention|consideration)|"
    r"that (?:\w+ ){1,2}?(?:enjoys?|likes?|loves?|appreciates?|wants? to read)\b",
    r"in moderation|within reason|if at all possible",
    r"to (?:some|a (?:large|certain|great|reasonable)) (?:extent|degree)",
    r"by and large|from time to time|now and then|every so often|every now and again|on a regular basis|"
    r"at regular intervals",
    r"for the most part|in most cases|most of the time|as a general rule|as a rule of thumb|more often than not",
    r"a (?:bit|touch|dash|sprinkling|modicum|fair bit) of",
    r"plenty of|a good deal|a great deal|any number of",
    r"do(?:es)? justice to|strikes? (?:the right|a|the) (?:\w+ )?(?:balance|chord|tone|note)|hits? the right",
    r"common (?:courtesy|decency)|good (?:manners|sense|taste|form)|sound judg\w+",
    r"in due course|in good time|before long|at the earliest (?:opportunity|convenience|moment)|as promptly as",
    r"look and feel|easy on the eye|reader-friendly|customer-friendly|family-friendly|child-friendly",
    r"(?:easy|simple|pleasant|clear|nice|fun|comfortable|enjoyable) to (?:read|understand|follow|use|grasp|digest|"
    r"navigate)",
    r"with (?:due |proper |appropriate |great |extra |utmost )?(?:tact|finesse|delicacy|sensitivity|restraint|"
    r"decorum|panache|flair|skill)",
    r"at (?:its|your|their|his|her) (?:own )?discretion|use (?:\w+ )?discretion",
    r"or (?:so|thereabouts)\b(?=[.,;]|$)|and (?:so forth|the like|such)\b(?=[.,;]|$)",
    r"the (?:usual|necessary|needful) (?:steps|measures|precautions|care|information|details|checks|formalities)",
    r"(?:appropriate|suitable|proper|adequate|necessary|reasonable|needed) (?:steps|measures|precautions|action|"
    r"safeguards)",
    r"(?:more|less|greater|extra|additional) (?:detail|depth|context|nuance|background|care|weight|emphasis|"
    r"attention|room|space|time)(?= (?:for|to|when|where|if|on|in)\b)",
    r"(?:where|when|if|whenever|wherever) (?:it|this|that|doing so) (?:\w+ )?(?:helps?|makes sense|fits|is useful|"
    r"is helpful|matters|adds value|is relevant|is needed|seems \w+)",
    r"(?:harder|easier|bigger|smaller|tougher|trickier|simpler|lighter|heavier) (?:questions?|cases?|topics?|"
    r"requests?|problems?|subjects?|issues?|tasks?)",
    r"(?:makes?|making) sense|when in doubt|if in doubt",
    r"not (?:too|overly|unduly|excessively|particularly) \w+|not \w+ (?:too|overly) \w+",
)
# Words of character, beside those in `words.TRAITS`.
CHARACTER = words_of(
    """
        amiable affable amicable benevolent benign big-hearted broad-minded civil civilised collected committed
        composed congenial considered constant cool-headed cordial dedicated deferential dependable determined
        devoted dignified down-to-earth dutiful earnest easy-going easygoing eager earnest energetic equable
        even-handed even-tempered exuberant fair-minded faithful fearless forbearing forgiving forthright
        good-humoured good-humored good-natured good-tempered gracious gentlemanly hard-working hardworking
        heartfelt high-minded high-spirited humane industrious ingenious innovative inquisitive insightful jolly
        jovial just kind-hearted kindhearted kindly laid-back level-headed likable likeable lively lovable
        magnanimous mature measured meek merciful merry meticulous mild mild-mannered moderate nice noble obliging
        open-hearted outgoing painstaking perceptive persevering persistent personable philosophical plucky poised
        polished refined self-aware self-confident self-deprecating selfless self-possessed sensible serene
        single-minded sociable soft-spoken soft-hearted spirited stalwart steadfast steady stoic straightforward
        strong-minded strong-willed studious sunny supple sweet sympathetic tactful tenacious tender tender-hearted
        thick-skinned tireless trusting unassuming unbending unflappable unfailing unpretentious unruffled unselfish
        upbeat upright upstanding urbane valiant virtuous vivacious warm-hearted warmhearted well-meaning
        well-mannered wholehearted wholesome winning zealous fun-loving quick-witted sharp-witted clever brilliant
        bright scrupulous incorruptible impassioned unprejudiced nurturing motherly fatherly brotherly sisterly
        companionable arrogant cold rude dismissive condescending patronising patronizing pushy aggressive
        judgmental judgemental impatient sarcastic smug aloof robotic defensive lazy careless cynical stern boastful
        timid servile sycophantic moody haughty conceited vain stubborn bossy nosy intrusive cruel mean selfish
        greedy stingy cowardly gullible naive pompous preachy self-righteous snobbish superior supercilious surly
        unfriendly unhelpful untrustworthy vindictive wishy-washy snarky flippant grumpy hostile indifferent
        insincere irritable malicious petulant overbearing snide uncaring unsympathetic dishonest
    """
)
VIRTUE_NOUNS = words_of(
    """
        affability altruism amiability benevolence boldness bravery calm calmness candour candor charity charm
        civility cleverness composure conscientiousness conviction cordiality courtesy deference determination
        devotion dignity discernment drive eagerness earnestness ease elegance eloquence energy equanimity
        even-handedness exuberance fair-mindedness faithfulness fervour finesse firmness flair forbearance
        forgiveness fortitude friendliness gallantry geniality gentleness genuineness good-humour goodwill
        graciousness gravitas grit gusto heart helpfulness hospitality humanity humor humour idealism industry
        ingenuity initiative insight intelligence jollity joy judgement judgment level-headedness lightness
        loving-kindness magnanimity mercy meticulousness mirth modesty nobility open-handedness optimism
        perseverance persistence personality playfulness pluck poise positivity principle prudence punctuality
        purpose refinement resilience resolve restraint rigour rigor sagacity self-awareness self-confidence
        self-control self-discipline selflessness self-restraint seriousness serenity sincerity steadfastness
        steadiness stoicism sympathy tenacity tenderness thoughtfulness tolerance tranquillity truthfulness verve
        vigour vigor virtue vision vitality wit wonder zeal zest
    """
)
# Expressions of character.
BEARING = (
    r"(?:thick|thin) skin|open mind|(?:good|big|kind|warm|soft|brave|open|generous) heart|(?:level|cool|clear) head|"
    r"sense of (?:humou?r|duty|fairness|justice|honou?r|wonder|fun|responsibility|decency|purpose)|(?:its|their|"
    r"his|her|your) (?:cool|temper|"
    r"composure|patience|nerve)|people person|team player|people skills|good listener|listening ear|bedside manner|"
    r"patience of a saint|(?:can-do|positive|good|caring|helpful|friendly|professional|winning|humble|"
    r"service) (?:attitude|spirit|mindset|mind-set)|"
    r"growth mindset|strong character|moral compass|strength of character|good character|spirit of \w+|light heart|"
    r"nerves of steel|backbone|"
    r"(?:friendly|kind|calm|warm|pleasant|sunny|gentle|lively|strong|likeable|cheerful|professional|even|caring|"
    r"humble|steady|patient|dignified|polite|"
    r"sweet|bubbly|easy|firm|mild|soft|bright|charming) "
    r"(?:attitude|mindset|demeanou?r|disposition|temperament|temper|personality|persona|heart|manner|outlook|"
    r"presence|soul|nature|character|bearing)"
)
_STRONG = r"(?:strictly |absolutely |expressly |completely |entirely |always |simply |wholly |permanently )?"
# Ways of forbidding at the beginning of a principle.
FORBIDDING = (
    r"neither\b|nobody\b|no one\b|none\b|nothing\b|nowhere\b|at no (?:time|point|stage)|on no (?:account|"
    r"condition)|in no (?:case|event|circumstances?|way)|"
    r"not once|by no means|under no|(?:please )?(?:steer|stay|keep|stand|shy) (?:well )?(?:clear|away|out|off|"
    r"back)\b|shun|eschew|abstain|desist|cease\b|forgo|forswear|"
    r"leave (?:[\w'-]+ ){1,8}?(?:out|alone|off|unsaid|unmentioned|unanswered|aside|to one side)\b|leave out|"
    r"hold (?:back|off)|omit\b|exclude\b|withhold\b|"
    r"suppress\b|refuse to|decline to|resist\b|dispense with|do without|give (?:[\w'-]+ ){1,6}?a wide berth|"
    r"draw the line at|"
    r"keep (?:[\w'-]+ ){1,8}?(?:out of|from|away from|off|to itself|to yourself|to themselves|secret|quiet|"
    r"under wraps|free (?:of|from))\b|"
    r"keep (?:quiet|silent|mum)|(?:stay|remain) (?:quiet|silent|mum) (?:on|about)|say nothing|reveal nothing|"
    r"promise nothing|"
    r"(?:it|this|that) (?:is|would be) (?:strictly )?(?:un\w+|im\w+|in(?:appropriate|admissible)|wrong|forbidden|"
    r"prohibited|illegal|off limits|out of the question|taboo|against [\w' ]+|"
    r"not (?:allowed|permitted|ok|okay|acceptable|for|up to|the|right|proper)|never)\b|"
    r"there (?:is|are|must|should|shall|may|can|will|has|have|is to|are to)(?: (?:to )?be)? (?:no|never|nothing|"
    r"not)\b|"
    r"hands off\b|(?:[\w'\u2019-]+ ){1,6}?(?:refrains?|abstains?|desists?) from|"
    rf"(?:[\w'\u2019,-]+ ){{1,12}}?(?:is|are|remains?|stays?|must be|should be|shall be|falls?|"
    rf"lies?) {_STRONG}(?:banned|barred|forbidden|prohibited|disallowed|outlawed|off[- ]limits|"
    r"off the table|out of bounds|out of the question|taboo|unacceptable|impermissible|inadmissible|unwelcome|"
    r"inexcusable|intolerable|improper|unlawful|illegal|unthinkable|indefensible|frowned (?:up)?on|discouraged|"
    r"ruled out|excluded|to be avoided|to be omitted|to be left out|avoided|"
    r"omitted|left out|left unsaid|withheld|a no-go|no-go|nobody(?: else)?['\u2019]s|"
    r"no one(?: else)?['\u2019]s|no business|"
    r"none of|out(?=[.,;]|$)|outside the|beyond the|not (?:for|to be|up to|welcome|allowed|permitted|acceptable)\b|"
    r"never to\b|"
    r"never (?:for|the)\b)|"
    r"(?:[\w'\u2019-]+ ){1,8}?(?:ha(?:s|ve) no (?:place|business|part|role|room)|do(?:es)? not belong|"
    r"must go unmentioned|ha(?:s|ve) to stay out)|"
    r"(?:[\w'\u2019-]+ ){1,6}?(?:contains?|includes?|uses?|ha(?:s|ve)|carr(?:y|ies)|makes?|gives?|shows?|mentions?|"
    r"names?|offers?|says?|quotes?|reveals?|discloses?|takes?|asks?|tells?|promises?|accepts?|receives?|gets?|"
    r"sees?|hears?|learns?|"
    r"expresses?|voices?|keeps?|stays?|refrains?|avoids?|abstains?|refuses?|declines?|steers?|stops?|omits?|"
    r"withholds?|excludes?|leaves? out)"
    r" (?:no|nothing|none|neither|nobody|silent|quiet|mum|to (?:give|say|name|comment|reveal|discuss|share|answer|"
    r"disclose|speculate|advise|diagnose|recommend|predict|confirm)|clear of|away from|out of|discussing|giving|"
    r"naming|mentioning|"
    r"using|commenting|making|speculating|revealing|asking)\b"
)
