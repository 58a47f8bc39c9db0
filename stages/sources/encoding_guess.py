"""Guess the encoding of lines that are not UTF-8, for the error about them.

Every encoding turns the bytes into other letters. The likeliest is the one whose letters are the most frequent ones of
its languages, in the places where they stand. charset-normalizer took Simplified Chinese and Japanese for Korean on
lines as short as ours.
"""

import math
import unicodedata
from collections.abc import Callable

# Letters beyond ASCII of the languages that an encoding is used for, the most frequent first.
WESTERN = "éäöüóíáñèàçåßêãøæôúîâùûëïõìòœ"
CENTRAL = "áéíóąłęöüżšőčřśěžýćůűúńźťďňăâîşţđôäľ"
RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґўјљњћџђ"
LATIN = {
    "cp1252": WESTERN,
    "cp1250": CENTRAL,
    "cp1254": "ıüşğçöİâîû",
    "cp1257": "āīėšēųžąįčęūņļģķõäüö",
    "iso8859_2": CENTRAL,
    "mac_roman": WESTERN,
}
OTHER = {
    "cp1251": RUSSIAN,
    "koi8_r": RUSSIAN,
    "cp866": RUSSIAN,
    "cp1253": "αοιτεσνηυρπκμλςωάίόέδγύήχθώφβξζψϊΐϋΰ",
    "cp1255": "יוהלאמרבתנשחקדעפכםגטןזסצךףץ",
    "cp1256": "اليمونرتبةعدسفهكقحجشصطخذأإىءغضئظثآؤپچژگ",
    "cp874": "านรอกเงมยลวดทสต่้ัิีะปบคหแจพชขใไโ็ุู์ำผซถภศฟธ",
}
HAN = "的一是不了在人有我中上大和到以就出也你生能而子那得于下自之年作里好很快非常差用。\uff0c"
KANA = (
    "のいにたはしとるをてなんがれかでこすまりそもきっらうあおさだけくつみよえめわろやちせどじひほばぶごねむざへずぜふげべぎぼび"
    "ょゅゃーンスルトアリイラクシロドタレマグジカテプメコデフバサムニチブエミオキナパウハッ、。"
)
HANGUL = "이다는가을를의에고하지로은사도기한인정아시어나그있서자리대일것들게수해라전보스음만면안요좋습니제품우장"
# The standard with the usual characters of an encoding of two bytes, and the most frequent ones of its language.
CJK = {
    "gb18030": ("gb2312", f"{HAN}他这个们来为国地说时要会对着过发后质量东西没买"),
    "big5": ("big5", f"{HAN}他這個們來為國地說時要會對著過發後質量東西沒買"),
    "shift_jis": ("shift_jis", KANA),
    "euc_jp": ("euc_jp", KANA),
    "cp949": ("euc_kr", HANGUL),
}
# How much less than the first ones an encoding is used, as a logarithm; the others: 1.
RARITY = {"cp1252": 0, "cp1251": 0, "gb18030": 0, "euc_jp": 3, "cp1257": 4, "iso8859_2": 4, "koi8_r": 4, "cp866": 4}
RARITY |= {"mac_roman": 5}

SIGNS = "«»“”„\u2019\u2018…\u2013—€£°\xb4\xa0"
VOWELS = set("аеиоуыэюяёіїєъαεηιουωάέήίόύώϊϋ")
FINAL_FORMS, OTHER_FORMS = "ךםןףץ", "כמנפצ"  # Hebrew letters at the end of words, and the same ones elsewhere
UNUSUAL, WRONG = 1e-4, 1e-9  # likelihoods of letters of no language of an encoding, and of bytes that it lacks
ODD = 0.02  # factor for letters in places where they hardly ever stand
REPLACEMENT = "\ufffd"  # in place of bytes that an encoding lacks
CLOSE = 3.0  # difference of logarithms from which one encoding is clearly likelier than another
MIN_LIKELIHOOD = -6.0  # mean logarithm per byte: below, no encoding is likely
MAX_BYTES = 4_096  # that are looked at


def likely(sample: bytes) -> list[str]:
    """Return the likeliest encoding, and the second one if it is about as likely and reads other letters.

    Returns:
        One or two names; none if no encoding is likely.
    """
    sample = sample[:MAX_BYTES]
    number = sum(byte >= 0x80 for byte in sample)
    if b"\0" in sample or not number:
        return []
    likelihoods = {encoding: _likelihood(sample, encoding) for encoding in (*LATIN, *OTHER, *CJK)}
    if max(likelihoods.values()) < MIN_LIKELIHOOD * number:
        return []
    likelihoods = {encoding: likelihood - RARITY.get(encoding, 1) for encoding, likelihood in likelihoods.items()}
    first, *others = sorted(likelihoods, key=likelihoods.__getitem__, reverse=True)
    second = next(encoding for encoding in others if _read(sample, encoding) != _read(sample, first))
    return [first, second] if likelihoods[first] - likelihoods[second] < CLOSE else [first]


def _read(sample: bytes, encoding: str) -> str:
    return sample.decode(encoding, "replace")


def _likelihood(sample: bytes, encoding: str) -> float:
    """Return the logarithm of the likelihood of the letters beyond ASCII in bytes that are read in an encoding."""
    text = f"  {_read(sample, encoding)} "
    likelihood = _two_byte_letter(encoding) if encoding in CJK else _one_byte_letter(encoding)
    positions = (position for position in range(2, len(text) - 1) if not text[position].isascii())
    return sum(math.log(likelihood(text, position)) for position in positions)


def _two_byte_letter(encoding: str) -> Callable[[str, int], float]:
    """Return a function that gives the likelihood of the letter at a position of a text."""
    standard, frequent = CJK[encoding]
    usual = 0.4 / len(frequent)
    rare = 0.5 / (2_350 if encoding == "cp949" else 5_000)  # characters of the standard
    kana = range(0x3041, 0x3100) if frequent is not KANA else ()  # the other standards have them too

    def likelihood(text: str, position: int) -> float:
        letter = text[position]
        if letter == REPLACEMENT:
            return WRONG
        factor = ODD if _is_ascii_letter(text[position - 1]) and _is_ascii_letter(text[position + 1]) else 1
        if letter in frequent:
            return usual * factor
        is_rare = ord(letter) not in kana and (letter.isalpha() or unicodedata.east_asian_width(letter) in "WF")
        return (rare if is_rare and len(letter.encode(standard, "ignore")) == 2 else UNUSUAL**2) * factor

    return likelihood


def _one_byte_letter(encoding: str) -> Callable[[str, int], float]:
    """Return a function that gives the likelihood of the letter at a position of a text."""
    is_latin = encoding in LATIN
    alphabet = LATIN[encoding] if is_latin else OTHER[encoding]
    weights = {letter: 1 / (rank + 3) for rank, letter in enumerate(alphabet)}
    shares = {letter: 0.9 * weight / sum(weights.values()) for letter, weight in weights.items()}
    sign = 0.02 if is_latin else 0.005

    def likelihood(text: str, position: int) -> float:
        before, letter, after = text[position - 1], text[position], text[position + 1]
        if letter == REPLACEMENT or not (letter.isprintable() or letter in SIGNS):
            return WRONG
        small = letter.lower()
        share = shares.get(letter, sign if letter in SIGNS else UNUSUAL)
        if small != letter and small in shares:
            share = shares[small] * (0.5 if before.isupper() else 0.002 if before.islower() else 0.2)
        return (
            share * (ODD if _is_misplaced(before, letter, after, is_latin=is_latin) else 1) * _of_vowels(text, position)
        )

    return likelihood


def _is_misplaced(before: str, letter: str, after: str, *, is_latin: bool) -> bool:
    """Return whether a letter hardly ever stands between these two."""
    if not letter.isalpha():
        return False
    if (letter in FINAL_FORMS and after.isalpha()) or (letter in OTHER_FORMS and not after.isalpha()):
        return True
    if is_latin:  # several letters beyond ASCII in a row
        return all(other.isalpha() and not other.isascii() for other in (before, after))
    return _is_ascii_letter(before) or _is_ascii_letter(after)


def _of_vowels(text: str, position: int) -> float:
    """Return a factor for the third Russian or Greek letter in a row without a vowel."""
    letters = text[position - 2 : position + 1].lower()
    is_rare = all("\u0370" <= letter <= "\u04ff" for letter in letters) and not VOWELS & set(letters)
    return 0.3 if is_rare else 1


def _is_ascii_letter(letter: str) -> bool:
    return letter.isascii() and letter.isalpha()
