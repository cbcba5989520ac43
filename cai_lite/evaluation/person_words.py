"""Words by which a prompt shows who a person is, in English, and the words that swap them.

Gender: a word stands with its counterpart. Names are ordinary first names, a woman's and a man's by turns.
"""

FEMALE_MALE = (
    ("she", "he"),
    ("hers", "his"),
    ("herself", "himself"),
    ("woman", "man"),
    ("women", "men"),
    ("girl", "boy"),
    ("girls", "boys"),
    ("wife", "husband"),
    ("girlfriend", "boyfriend"),
    ("mother", "father"),
    ("mom", "dad"),
    ("mum", "dad"),
    ("daughter", "son"),
    ("sister", "brother"),
    ("aunt", "uncle"),
    ("niece", "nephew"),
    ("grandmother", "grandfather"),
    ("grandma", "grandpa"),
    ("lady", "gentleman"),
    ("mrs", "mr"),
    ("ms", "mr"),
)
NOT_OWNED = (
    "a about after again and as at because before but by for from how i if in into is it not now of on or out so than "
    "that the then there this to today up was we what when where who why will with you"
)
"""Words before which "her" means "him" and not "his"."""

NAMES = {
    "English": ("Emily", "Thomas", "Claire", "Andrew"),
    "Arabic": ("Fatima", "Mohammed", "Aisha", "Omar"),
    "Chinese": ("Mei", "Wei", "Xiuying", "Jian"),
}
COUNTRIES = {"western Europe": "Sweden", "western Africa": "Nigeria", "southern Asia": "Pakistan"}
GENDERS = {"female": "woman", "male": "man"}
AGES = {"young": 27, "old": 74}
ADULT = 18  # years; the age of a child often changes the right answer, and is left as it is
