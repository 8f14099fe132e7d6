"""Words from which titles, studios, synopses and places are made up."""

# Romaji, English, Japanese.
NOUNS = tuple(
    tuple(line.split("|"))
    for line in """\
Hoshi|Star|星
Kaze|Wind|風
Sakura|Cherry Blossom|桜
Tsuki|Moon|月
Yuki|Snow|雪
Hana|Flower|花
Umi|Sea|海
Sora|Sky|空
Mori|Forest|森
Kawa|River|川
Hikari|Light|光
Kage|Shadow|影
Yami|Darkness|闇
Honoo|Flame|炎
Mizu|Water|水
Ishi|Stone|石
Yama|Mountain|山
Mirai|Future|未来
Yume|Dream|夢
Kokoro|Heart|心
Inochi|Life|命
Tamashii|Soul|魂
Kioku|Memory|記憶
Jikan|Time|時間
Sekai|World|世界
Machi|Town|町
Gakuen|Academy|学園
Toshokan|Library|図書館
Densha|Train|電車
Kissaten|Coffee House|喫茶店
Ryuu|Dragon|竜
Neko|Cat|猫
Ookami|Wolf|狼
Kitsune|Fox|狐
Tori|Bird|鳥
Usagi|Rabbit|兎
Kuma|Bear|熊
Sakana|Fish|魚
Majo|Witch|魔女
Yuusha|Hero|勇者
Maou|Demon King|魔王
Ouji|Prince|王子
Hime|Princess|姫
Kishi|Knight|騎士
Samurai|Samurai|侍
Ninja|Ninja|忍者
Tantei|Detective|探偵
Senshi|Warrior|戦士
Shoujo|Girl|少女
Shounen|Boy|少年
Imouto|Little Sister|妹
Sensei|Teacher|先生
Kami|God|神
Tenshi|Angel|天使
Akuma|Devil|悪魔
Youkai|Spirit|妖怪
Robotto|Robot|ロボット
Uchuu|Universe|宇宙
Senkan|Battleship|戦艦
Teikoku|Empire|帝国
Oukoku|Kingdom|王国
Shima|Island|島
Meikyuu|Labyrinth|迷宮
Shiro|Castle|城
Tobira|Door|扉
Kagami|Mirror|鏡
Tsurugi|Sword|剣
Tate|Shield|盾
Yumi|Bow|弓
Uta|Song|歌
Odori|Dance|踊り
Ongaku|Music|音楽
Piano|Piano|ピアノ
Ryouri|Cooking|料理
Okashi|Sweets|お菓子
Yakyuu|Baseball|野球
Sakkaa|Football|サッカー
Shougi|Shogi|将棋
Tegami|Letter|手紙
Himitsu|Secret|秘密
Yakusoku|Promise|約束
Kizuna|Bond|絆
Koi|Love|恋
Namida|Tears|涙
Egao|Smile|笑顔
Haru|Spring|春
Natsu|Summer|夏
Aki|Autumn|秋
Fuyu|Winter|冬
Asa|Morning|朝
Yoru|Night|夜
Ame|Rain|雨
Kumo|Cloud|雲
Niji|Rainbow|虹
Kaminari|Thunder|雷
""".splitlines()
)
ADJECTIVES = tuple(
    tuple(line.split("|"))
    for line in """\
Akai|Crimson|赤い
Aoi|Blue|青い
Shiroi|White|白い
Kuroi|Black|黒い
Chiisana|Little|小さな
Ookina|Great|大きな
Saigo no|Last|最後の
Saisho no|First|最初の
Eien no|Eternal|永遠の
Maboroshi no|Phantom|幻の
Kinjirareta|Forbidden|禁じられた
Wasurerareta|Forgotten|忘れられた
Mahou no|Magical|魔法の
Denki|Electric|電気
Nemureru|Sleeping|眠れる
Utau|Singing|歌う
""".splitlines()
)
NAMES = tuple(
    tuple(line.split("|"))
    for line in """\
Akira|アキラ
Haruto|ハルト
Ren|レン
Souta|ソウタ
Yuuto|ユウト
Daichi|ダイチ
Kenji|ケンジ
Shin|シン
Takumi|タクミ
Ryou|リョウ
Aya|アヤ
Chika|チカ
Emi|エミ
Hinata|ヒナタ
Kaede|カエデ
Mei|メイ
Nao|ナオ
Rin|リン
Sayuri|サユリ
Tomoko|トモコ
""".splitlines()
)
# A title's forms: romaji, English, Japanese. a, b: nouns; d: adjective; n: name.
FORMS = (
    ("{a} no {b}", "{b} of the {a}", "{a}の{b}"),
    ("{a} no {b}", "The {a} {b}", "{a}の{b}"),
    ("{d} {a}", "{d} {a}", "{d}{a}"),
    ("{d} {a} no {b}", "{b} of the {d} {a}", "{d}{a}の{b}"),
    ("{a} to {b}", "{a} and {b}", "{a}と{b}"),
    ("{a} {b}", "{a} {b}", "{a}{b}"),
    ("{a}, {b}!", "{a}, {b}!", "{a}、{b}!"),
    ("{n} no {a}", "{n}'s {a}", "{n}の{a}"),
    ("{n}-kun, {a} wo Kudasai", "Please, {n}, a {a}", "{n}くん、{a}をください"),
    ('"{a}" no {b}', 'The {b} Called "{a}"', "「{a}」の{b}"),
    ("{a}: {b} Hen", "{a}: The {b} Chapter", "{a} {b}編"),
    ("{a}☆{b}", "{a} Star {b}", "{a}☆{b}"),
    (
        "Tensei shitara {a} Datta Node {b} ni Narimasu",
        "Reborn as a {a}, I Choose {b}",
        "転生したら{a}だったので{b}になります",
    ),
    ("Boku no {a} wa {b} ga Suki", "My {a} Likes {b}", "僕の{a}は{b}が好き"),
)
STUDIO_FORMS = ("Studio {a}", "{a} Animation", "{a} Works", "{a} Pictures", "{a} {b}", "Production {a}.{b}", "{a}&{b}")
PRODUCER_FORMS = ("{a} Visual", "{a} TV", "{a} Music", "{a} Shoten", "{a} Project", "{a} {b} Entertainment")
LICENSOR_FORMS = ("{a} Films", "{a} Entertainment USA", "{a} Media")

HEROES = ("high school student", "former idol", "young swordsman", "struggling mangaka", "quiet librarian", "pilot")
TURNS = (
    "is drawn into a war that began long before anyone can remember",
    "wakes up in a world ruled by magic",
    "joins a club that nobody has ever left",
    "discovers a secret hidden beneath the school",
    "must win one last tournament",
    "meets a stranger who claims to come from the future",
    "inherits a run-down inn, its debts, and its ghosts",
)
STAKES = (
    "With friends old and new at {n}'s side, the search for the truth begins.",
    "But nothing is as it seems, and trust comes at a price.",
    'They call it "the {a}", and nobody who has seen it speaks of it.',
    "Between lessons, rivals and first love, {n} learns what courage means.",
    "As the seasons pass, the two grow closer; yet the day of parting draws near.",
    "Little does {n} know that the enemy is already among them.",
    "The city sleeps, the {a} waits, and time is running out.",
)
NO_SYNOPSIS = "No description available for this anime."

PLACES = (
    ("United States", 14), ("California", 9), ("Philippines", 7), ("London, England", 6), ("Brazil", 6), ("Canada", 6),
    ("Texas, USA", 5), ("Germany", 5), ("Poland", 5), ("France", 5), ("Indonesia", 5), ("Australia", 4), ("Mexico", 4),
    ("Toronto, Ontario", 4), ("New York", 4), ("Florida", 4), ("Italy", 3), ("Finland", 3), ("Sweden", 3), ("Japan", 3),
    ("Singapore", 3), ("Netherlands", 3), ("Chile", 3), ("Argentina", 3), ("Spain", 3), ("Russia", 3), ("Norway", 2),
    ("Malaysia", 2), ("India", 2), ("Portugal", 2), ("Romania", 2), ("Turkey", 2), ("Hungary", 2), ("Ireland", 2),
    ("São Paulo, Brasil", 2), ("東京", 1), ("Москва", 1), ("Perú", 1), ("Ohio", 2), ("the internet", 2), ("Earth", 2),
    ('The "Hidden" Village', 1), ("Somewhere, far away", 1), ("Your closet :)", 1), ("Behind you", 1), ("NA", 1),
    ("N/A", 1), ("Bikini Bottom", 1), ("in my room", 1), ("Neo Tokyo, Sector 7", 1), ("unknown", 1), ("♥", 1),
)  # fmt: skip
CITIES = ("Porto", "Lyon", "Gdańsk", "Osaka", "Leeds", "Austin", "Recife", "Cebu", "Malmö", "Turku", "Graz", "Perth")
STREETS = ("north", "south", "downtown", "old town", "by the river", "near the station", "suburbs", "uptown")
