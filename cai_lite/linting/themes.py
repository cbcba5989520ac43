"""Aims that pull apart, and the topics that a constitution of a domain should cover."""

from __future__ import annotations

# Values of which a reply can have only one, where all else is the same.
OPPOSITES: tuple[tuple[str, str], ...] = (
    ("formal", "informal|casual|colloquial"),
    ("metric", "imperial"),
    ("present", "past|future"),
    ("first person", "third person|second person"),
    ("first name", "surname|last name"),
    ("british", "american"),
    ("celsius", "fahrenheit"),
    ("before", "after"),
    ("first", "last"),
    ("above", "below"),
    ("ascending", "descending"),
    ("uppercase|capital", "lowercase|small"),
    ("public", "private"),
    ("short|brief", "long|detailed"),
    ("oldest", "newest|latest"),
    ("keep|preserve|retain|store", "delete|remove|discard|erase"),
    ("ask", "assume|guess"),
    ("accept|approve", "reject|refuse|deny"),
    ("enable", "disable"),
)

# Pairs of opposing demands: if both occur in a constitution, it has to say which takes precedence.
THEMES: tuple[tuple[str, str, str, str], ...] = (
    (
        "brevity",
        r"\b(?:short|brief|briefly|concise|concisely|terse|succinct|succinctly|brevity|at most \w+ (?:words|"
        r"sentences|lines)|"
        r"(?:under|within|no more than|fewer than|less than|not exceed|up to|maximum of|max) \w+ (?:words|sentences|"
        r"lines|paragraphs)|(?:in|to|with|of) (?:only )?(?:one|a single|two|three) (?:\w+ )?(?:sentences?|lines?|"
        r"paragraphs?)|one paragraph|few words)\b",
        "completeness",
        r"\b(?:completely|in full|fully|thorough|thoroughly|comprehensive|exhaustive|exhaustively|in (?:\w+ )?detail|"
        r"(?:complete|full|detailed) (?:and \w+ )?(?:answer|reply|account|explanation|list|description|overview|"
        r"picture|context|"
        r"instructions|background|detail)s?|every (?:\w+ )?(?:step|detail|risk|option|side effect|exception|"
        r"condition|relevant|"
        r"caveat|assumption|source|ingredient)|(?:cover|list|name|mention|explain|give|include|state|describe|discuss) "
        r"(?:every|each|all)|all (?:the )?(?:\w+ )?(?:steps|details|"
        r"risks|options|side effects|exceptions|caveats|assumptions|ingredients|alternatives|known|edge cases|cases)|"
        r"step by step|at length|background)\b",
    ),
    (
        "frankness",
        r"\b(?:frank|frankly|blunt|bluntly|direct criticism|criticise|criticize|point out (?:every|each|all|the) "
        r"(?:\w+ )?(?:error|errors|mistake|mistakes|flaw|flaws|weakness\w*)|unvarnished|without softening|"
        r"(?:completely|brutally|fully|totally|always) honest|honest,? even|"
        r"honest (?:verdict|"
        r"opinion|criticism|feedback|assessment)|candid|candidly|plainly (?:say|tell)|bad news (?:plainly|first|"
        r"directly))\b",
        "comfort",
        r"\b(?:comfort|reassure|reassurance|soften|gentle|gently|spare (?:the|their|his|her)|encourag\w+|praise|"
        r"hopeful|positive (?:note|tone|feedback)|sooth\w+|feelings|upbeat|console)\b",
    ),
    (
        "caution",
        r"\b(?:refuse|decline|withhold|err on the side of caution|refer (?:\w+ )?(?:\w+ )?to a (?:professional|"
        r"specialist|"
        r"doctor|lawyer|human)|caution\w*|disclaimer|warn (?:of|about|against) (?:every|all|any))\b",
        "helpfulness",
        r"\b(?:answer every|answer (?:all|any)|fulfil (?:every|any|all|each)|always (?:help|answer)|give (?:a |"
        r"the )?(?:direct|"
        r"concrete|specific|actionable|definite|full) (?:answer|advice|recommendation)|whatever (?:the|they|is)|"
        r"without (?:disclaimers?|caveats?|warnings?)|never refuse|comply with (?:every|any|all))\b",
    ),
    (
        "speed",
        r"\b(?:(?:answer|repl(?:y|ies)|respond|help|solve)\b[\w' ,-]{0,60}(?:at once|immediately|straight away|"
        r"right away|instantly|"
        r"in (?:the|your|its|a) first (?:message|reply|turn)|without delay)|without (?:asking|follow-up|questions)|"
        r"no clarifying)\b",
        "questions",
        r"\b(?:ask (?:a |at least |one |two |three |for |clarifying |follow-up |about |what |which |whether |how )|"
        r"clarifying question|clarify|question before|before (?:giving|offering|making) any)\b",
    ),
    (
        "privacy",
        r"\b(?:(?:keep|stay|remain)s?\b[\w' ,-]{0,60} (?:private|anonymous)|(?:protect|respect)s? [\w' ]{0,30}privacy|"
        r"anonym(?:ously|ise|ize)|"
        r"(?:store|keep|remember|retain|collect)s? (?:no|nothing|as little)|(?:minimum|least) (?:data|information)|"
        r"forget\w*)\b",
        "personalisation",
        r"\b(?:personali[sz]e\w*|by (?:their |his |her )?(?:first )?name|tailor\w*|remember (?:what|the|their|each|"
        r"past)|"
        r"refer (?:back )?to (?:their|the user's|earlier|past))\b",
    ),
    (
        "confidentiality",
        r"\b(?:(?:keep|stay|remain|treat)s?\b[\w' ,-]{0,60} (?:private|confidential|secret)|confidentially|"
        r"in confidence)\b",
        "disclosure",
        r"\b(?:share|disclose|report|pass on|reveal|tell)s?\b[\w' ,-]{0,50}\b(?:everything|all|any|every|each)\b",
    ),
    (
        "helpfulness",
        r"\b(?:maxim(?:ally|um) (?:helpful|useful|helpfulness|usefulness)|(?:as|most) (?:helpful|"
        r"useful) as possible|most helpful|maximi[sz]e (?:helpfulness|usefulness|"
        r"the (?:help|benefit|value)\w*)|helpful above all|help (?:\w+ )?(?:with|in) (?:anything|everything|any|"
        r"every))\b",
        "avoiding harm",
        r"\b(?:minimi[sz]e\w*\b[\w' ]{0,30}(?:harm|risk|damage|danger|liability)\w*|(?:avoid|prevent|"
        r"reduc)\w*\b[\w' ]{0,20}(?:harm|risk|danger)\w*|"
        r"do no harm|harmless\w*|err on the side of caution|(?:as )?(?:cautious|safe|harmless) as possible|"
        r"safety (?:first|above|over))\b",
    ),
    (
        "formality",
        r"\b(?:formal|formally|formality|surname|titles? and surname|no (?:slang|contractions|jokes|humou?r))\b",
        "ease",
        r"\b(?:informal|informally|casual|casually|colloquial|slang|joke|jokes|humou?r|chatty|first names?|"
        r"contractions)\b",
    ),
    (
        "the user's wish",
        r"\b(?:exactly as (?:asked|requested)|(?:do|follow) (?:exactly )?(?:what|whatever) the (?:user|reader|"
        r"customer|author|"
        r"client)|follow the (?:user|reader|customer|author|client)'s (?:wish|request|instructions?)|as the (?:user|"
        r"customer|author|client) (?:asks|wants|wishes)|every instruction|the (?:user|customer)'s (?:choice|"
        r"preference))\b",
        "the rule",
        r"\b(?:regardless of what|whatever the (?:user|customer|client|author) (?:asks|says|wants)|even if (?:the|"
        r"asked)|"
        r"only (?:the|what) (?:\w+ )?(?:policy|rules|handbook)|strictly (?:by|to) the|correct the (?:user|author|"
        r"customer)|override|against the (?:user|author|customer)'s)\b",
    ),
    (
        "the user's wish",
        r"\b(?:(?:follow|obey) (?:all |every )?(?:the |of the )?(?:user|reader|customer|author|"
        r"client)'s (?:wish(?:es)?|requests?|instructions?)|"
        r"exactly as (?:asked|requested)|(?:do|follow|write|give) (?:exactly )?(?:what|whatever|"
        r"everything) the (?:user|reader|customer|"
        r"author|client|caller|guest|student)|word for word|to the letter|every request|any request|"
        r"every instruction)\b",
        "refusal",
        r"\b(?:refuse|decline|turn down|turn away|reject)\b",
    ),
    (
        "plain words",
        r"\b(?:plain (?:words|language|english)|simple (?:words|language)|everyday (?:words|language)|no jargon|"
        r"jargon-free|"
        r"without (?:jargon|technical terms)|a (?:child|layperson|ten-year-old|beginner|newcomer|"
        r"\w+-year-old) (?:can|could|knows?|would|understands?))\b",
        "exact terms",
        r"\b(?:technical terms?|exact (?:legal|medical|technical|statutory)? ?(?:terms?|wording|terminology)|"
        r"terminology|"
        r"scientific names?|statutory (?:wording|language)|latin names?|precise (?:terms|terminology)|"
        r"the wording of the)\b",
    ),
)

# Topics that a constitution of a domain should cover.
TOPICS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "medicine",
        r"\b(?:medical|health information|clinical|medicine)\b",
        (
            ("emergencies", r"\b(?:emergenc\w+|urgent|warning signs?|ambulance|red flags?)\b"),
            ("medicines and doses", r"\b(?:dos(?:e|es|age)|medicines?|medication|drugs?)\b"),
            ("diagnosis", r"\bdiagnos\w+\b"),
            ("when to see a professional", r"\b(?:doctor|clinician|professional|pharmacist|nurse)\b"),
        ),
    ),
    (
        "customer service",
        r"\b(?:customer|support desk|help ?desk|shop|retail|service desk)\b",
        (
            (
                "secrets and identity",
                r"\b(?:passwords?|card numbers?|codes?|identity|authenticat\w+|verify|verif\w+)\b",
            ),
            ("promises and policy", r"\b(?:promis\w+|policy|refunds?|compensat\w+)\b"),
            ("next steps or escalation", r"\b(?:next step|escalat\w+|transfer|human agent|follow[- ]up|hand over)\b"),
            ("tone towards the customer", r"\b(?:apolog\w+|acknowledge\w*|polite\w*|blame|thank)\b"),
        ),
    ),
    (
        "fiction",
        r"\b(?:creative|story|stories|fiction|writing assistant|storyteller)\b",
        (
            ("what was asked for", r"\b(?:asked for|request\w*|brief|prompt)\b"),
            ("originality", r"\b(?:clich\w+|fresh|original\w*|images?)\b"),
            ("the ending or the form", r"\b(?:ending|end|form|structure|arc)\b"),
        ),
    ),
    (
        "finance",
        r"\b(?:financ\w+|invest\w+|money|bank\w*)\b",
        (
            ("risk and returns", r"\b(?:risks?|returns?|losses|investment)\b"),
            ("fees or conflicts of interest", r"\b(?:fees?|costs?|commission|conflicts? of interest)\b"),
            ("fraud", r"\b(?:fraud\w*|scams?|phishing)\b"),
            (
                "limits of personal advice",
                r"\b(?:personal (?:advice|recommendation|circumstances|facts)|(?:investment|financial|"
                r"tax)[\w ,]* advice|adviser|advisor)\b",
            ),
        ),
    ),
    (
        "law",
        r"\b(?:legal|law|lawyer|court)\b",
        (
            ("jurisdiction", r"\b(?:jurisdiction|country|state|local law)\b"),
            ("deadlines", r"\b(?:deadlines?|time limits?|limitation)\b"),
            ("information and advice", r"\b(?:advice|lawyer|attorney|legal aid)\b"),
            ("sources", r"\b(?:cit\w+|statutes?|cases?|sources?)\b"),
        ),
    ),
    (
        "privacy",
        r"\b(?:privacy|hipaa|gdpr|personal data|protected health)\b",
        (
            ("who is asking", r"\b(?:identity|authori\w+|verif\w+|permission|consent)\b"),
            ("as little as needed", r"\b(?:minimum|least|only the|smallest)\b"),
            ("incidents", r"\b(?:breach\w*|incident|report\w*)\b"),
        ),
    ),
)
