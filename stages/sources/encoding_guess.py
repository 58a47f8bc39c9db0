"""Guess the encoding of lines that are not UTF-8, for the error about them."""

# Encodings that web pages and office programs still write, with letters that are frequent in their languages: a wrong
# encoding gives others. charset-normalizer took Simplified Chinese and Japanese for Korean on lines as short as ours.
FREQUENT = {
    "cp1252": "äöüßÄÖÜéèêëàâçîïôûùœæñáíóúÉÈÀÇÑåøÅØ«»“”„…€£°",
    "cp1250": "ąćęłńóśźżĄĆĘŁŃŚŹŻáčďéěíňřšťúůýžŠČŘŽőűäöüăâîșțşţ„”…",
    "cp1251": "абвгдежзийклмнопрстуфхцчшщъыьэюяіїєў«»…",
    "koi8_r": "абвгдежзийклмнопрстуфхцчшщъыьэюя",
    "cp1253": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώ",
    "cp1254": "çğıöşüÇĞİÖŞÜâî“”…",
    "gb18030": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "好很快非常质量东西差没买用。",
    "big5": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡"
    "好很快非常品質東西差沒買用。",
    "shift_jis": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
    "がぎぐげござじずぜぞだでどばびぶべぼっゃゅょアイウエオカキクケコサシスセソタチツテトナニネノハヒフホマミムメモ"
    "ヤユラリルレロワンー、。",
    "cp949": "이다는가을를의에고하지로은사도기한인정아시어나그있서자리대일것들게수해라전보스음만면안요좋습니제품우장",
}
FREQUENT["euc_jp"] = FREQUENT["shift_jis"]
MIN_SHARE = 0.25  # of frequent letters among those beyond ASCII: below, no encoding is likely


def likely(sample: bytes) -> str | None:
    """Return the encoding in which the most letters beyond ASCII are frequent ones; None if none is likely."""
    shares = {}
    for encoding, frequent in FREQUENT.items():
        letters = [letter for letter in sample.decode(encoding, "replace") if not letter.isascii()]
        shares[encoding] = sum(letter in frequent for letter in letters) / max(len(letters), 1)
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= MIN_SHARE and b"\0" not in sample else None
