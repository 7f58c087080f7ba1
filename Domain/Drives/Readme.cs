using System.Text;

namespace Librarian.Domain.Drives;

/// <summary><c>README.txt</c>: for a person who finds the drive in a drawer in 20 years and has only an ordinary computer.</summary>
internal static class Readme
{
    internal static async Task WriteAsync(Stream stream, ManifestHeader header, ManifestSeal seal, CancellationToken cancellationToken) =>
        await stream.WriteAsync(Encoding.UTF8.GetBytes(Text(header, seal)), cancellationToken);

    private static string Text(ManifestHeader header, ManifestSeal seal) =>
        string.Join("\n\n\n", Introduction(header, seal), Found, Contents, Check, Format, Genuine(header, seal));

    private static string Introduction(ManifestHeader header, ManifestSeal seal)
    {
        var title = $"Drive {header.Drive}, trip {header.Trip}";
        var exact = header.Bytes < 1000 ? "" : $" ({Amounts.Number(header.Bytes)} bytes)";
        var files = Amounts.Count(header.Members, "file", "files");
        return $"""
            {title}
            {new string('=', title.Length)}

            This drive carries research data
            from the site "{header.Site}"
            to the site "{header.Destination}".

              Contents    {Amounts.Count(header.Files, "entry", "entries")} with {files}, {Amounts.Bytes(header.Bytes)}{exact}
              Listed on   {Amounts.Time(header.Created)}
              Drive       {header.DriveId}
              Manifest    SHA-256 {seal.Sha256}

            It was filled by Librarian, a program that keeps a catalog of research
            files and copies them between sites. It was sent because there was no
            line between the two, or none fast enough. You need no Librarian to
            read it: everything here is ordinary files.
            """;
    }

    private const string Found = """
        If you have found this drive
        ----------------------------

        Please do not erase it or write to it: it may hold the only copy of
        something. Ask the two sites named above whether the data have arrived;
        tell them the drive and the trip. If neither exists any more: each line
        of MANIFEST.jsonl names in "uploader" the account that made the file and
        in "source" where it came from.

        If there is a file RECEIPT.jsonl, the destination has read the drive:
        it says for each file whether it was stored there.
        """;

    private const string Contents = """
        What is on it
        -------------

          data/                   the data, each file under its catalog name
          MANIFEST.html           the list of them, to read in a browser
          MANIFEST.jsonl          the same for programs, complete and signed
          SHA256SUMS              a check value (SHA-256) for every data file
          manifest.upstream.json  the list for the Python program "librarian"
          LIBRARIAN-DRIVE.json    says which drive this is
          RECEIPT.jsonl           the destination's answer, if it has been there
          .librarian/             leftovers of work, without value
        """;

    private const string Check = """
        Is everything undamaged?
        ------------------------

        In a terminal on Linux (macOS: "shasum -a 256 -c SHA256SUMS"), in the
        directory of this file:

            sha256sum --check --quiet SHA256SUMS

        It reads all data, which may take hours. If it prints nothing, every
        file is exactly what was put on the drive. It names each file that is
        missing or damaged; the others are still good.
        """;

    private const string Format = """
        How to read MANIFEST.jsonl
        --------------------------

        It is text in UTF-8. Each line is one object in JSON.

        The first line describes the drive. "files" counts the entries, "members"
        the files below data/, "bytes" their lengths together.

        Each line with "name" is an entry; its data are data/NAME.

          name                  path below data/, unique in the catalog
          size                  bytes
          checksum              the catalog's check value: method ":::" value.
                                xxh3 is the 128-bit XXH3; no method means MD5.
                                For a directory it is that of the sorted check
                                values of its files, written one after another
          sha256                SHA-256 of the file
          members               instead of sha256, when the entry is a directory:
                                so many of the next lines are its files
          create_time           when the site took it in (UTC)
          uploader, source      who made it, and where it came from
          deletion_policy       1 if copies may be deleted when others exist
          outgoing_transfer_id  the source's own number for the delivery

        Each line with "path" is a file of the directory before it; its data
        are data/NAME/PATH. The last line repeats the totals.
        """;

    private static string Genuine(ManifestHeader header, ManifestSeal seal) =>
        $"""
            Is the list genuine?
            --------------------

            The last line of MANIFEST.jsonl holds the SHA-256 of all lines before it
            ("sha256") and an Ed25519 signature ("signature", base64). The digest
            must be the one at the top of this file:

                head -n -1 MANIFEST.jsonl | sha256sum

            The signature was made over the two lines "librarian-manifest-v1" and
            the digest, without a line end after it. The key is

                {header.SiteKey}
                fingerprint {header.SiteKey.Fingerprint}

            but anybody could have written that here: ask the site whether it is
            its key. With OpenSSL 3:

                (printf '\060\052\060\005\006\003\053\145\160\003\041\000'
                 echo {header.SiteKey.ToString()["ed25519:".Length..]} | base64 -d) > /tmp/key
                printf 'librarian-manifest-v1\n{seal.Sha256}' > /tmp/text
                tail -n 1 MANIFEST.jsonl |
                  sed 's/.*"signature":"\([^"]*\)".*/\1/' | base64 -d > /tmp/signature
                openssl pkeyutl -verify -pubin -keyform DER -inkey /tmp/key \
                  -rawin -in /tmp/text -sigfile /tmp/signature

            """;
}
