using System.Globalization;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Which names a medium can hold, determined by a probe: exFAT, NTFS and FAT accept fewer names than the stores do, and which ones depends
/// on the driver and the mount options. The medium holds a name if it can be created and the directory then lists exactly its bytes.
/// </summary>
public sealed class MediumNames
{
    private const int LongestComponent = FileName.MaxComponentBytes;
    private const string SuspectCharacters = "\":*<>?|\\\u0001\n\t\u007f";

    private string _refused = "";
    private bool _holdsControls = true;
    private bool _holdsTrailingDots = true;
    private bool _holdsTrailingBlanks = true;
    private bool _holdsAccents = true;
    private bool _holdsRare = true;
    private int _longest = LongestComponent;

    private MediumNames() { }

    /// <summary>Whether <c>A</c> and <c>a</c> are the same name.</summary>
    public bool IsCaseInsensitive { get; private set; }

    /// <summary>Largest file in bytes; null if no limit is known.</summary>
    public long? LargestFile { get; private set; }

    /// <summary>Whether the medium holds every name that a store does.</summary>
    public bool HoldsAll =>
        this
            is {
                _refused: "",
                _holdsControls: true,
                _holdsTrailingDots: true,
                _holdsTrailingBlanks: true,
                _holdsAccents: true,
                _holdsRare: true,
                _longest: LongestComponent,
                IsCaseInsensitive: false,
                LargestFile: null
            };

    /// <summary>
    /// Creates names in a new directory, which is removed again. What a crash leaves of it is in the medium's working directory.
    /// </summary>
    /// <param name="directory">A directory of the medium.</param>
    /// <exception cref="PosixException">The medium refuses even ordinary names, so nothing is known.</exception>
    internal static MediumNames Probe(PosixDirectory directory)
    {
        var name = new EntryName($"probe-{Guid.NewGuid():N}");
        directory.MakeDirectory(name, 0x1c0);
        try
        {
            using var place = directory.OpenDirectory(name);
            using (place.CreateFile(new EntryName("Plain"), 0x180)) { }

            var names = new MediumNames
            {
                IsCaseInsensitive = place.Status(new EntryName("pLAIN")) is not null,
                // FAT keeps sizes in 32 bits. A probe with a large file would take minutes on file systems without sparse files.
                LargestFile = place.FileSystemType() == Libc.Fat ? uint.MaxValue : null,
            };
            names._refused = string.Concat(SuspectCharacters.Where(c => !Holds(place, $"a{c}b")));
            names._holdsControls = !names._refused.Contains('\u0001', StringComparison.Ordinal);
            names._holdsTrailingDots = Holds(place, "a.");
            names._holdsTrailingBlanks = Holds(place, "a ");
            names._holdsAccents = Holds(place, "é");
            names._holdsRare = Holds(place, "🔭");
            if (!Holds(place, new string('x', LongestComponent)))
            {
                var (held, tooLong) = (1, LongestComponent);
                while (held + 1 < tooLong)
                {
                    var middle = (held + tooLong) / 2;
                    if (Holds(place, new string('x', middle)))
                        held = middle;
                    else
                        tooLong = middle;
                }

                names._longest = held;
            }

            return names;
        }
        finally
        {
            TreeRemoval.Remove(directory, name, CancellationToken.None);
        }
    }

    /// <summary>Why the medium cannot hold a path, as half a sentence; null if it can.</summary>
    /// <param name="path">Relative, with "/" between components.</param>
    public string? Refusal(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        foreach (var range in path.AsSpan().Split('/'))
        {
            var component = path.AsSpan()[range];
            if (component.IndexOfAny(_refused) is >= 0 and var at)
                return $"it has the character '{component[at].ToString().Shown()}'";
            if (!_holdsControls && component.IndexOfAnyInRange('\u0001', '\u001f') >= 0)
                return "it has a control character";
            if (!_holdsTrailingDots && component.EndsWith('.'))
                return "a part of it ends with a dot";
            if (!_holdsTrailingBlanks && component.EndsWith(' '))
                return "a part of it ends with a blank";
            if (!_holdsAccents && component.ContainsAnyExceptInRange('\0', '\u007f'))
                return "it has letters beyond ASCII";
            if (!_holdsRare && component.ContainsAnyInRange('\ud800', '\udfff'))
                return "it has characters beyond the 65 536 first of Unicode";
            if (System.Text.Encoding.UTF8.GetByteCount(component) > _longest)
                return string.Create(CultureInfo.InvariantCulture, $"a part of it is longer than {_longest} bytes");
        }

        return null;
    }

    /// <summary>Which names and sizes the medium cannot hold, for people; null if it holds everything that a store does.</summary>
    public string? Describe()
    {
        List<string> lacks = [];
        var characters = string.Concat(_refused.Where(c => !char.IsControl(c)));
        if (characters.Length > 0)
            lacks.Add($"with one of {string.Join(' ', characters.AsEnumerable())}");
        if (_refused.Any(char.IsControl))
            lacks.Add("with control characters");
        if (!_holdsTrailingDots)
            lacks.Add("that end with a dot");
        if (!_holdsTrailingBlanks)
            lacks.Add("that end with a blank");
        if (!_holdsAccents)
            lacks.Add("with letters beyond ASCII");
        else if (!_holdsRare)
            lacks.Add("with characters beyond the 65 536 first of Unicode");
        if (_longest < LongestComponent)
            lacks.Add(string.Create(CultureInfo.InvariantCulture, $"with parts above {_longest} bytes"));
        if (IsCaseInsensitive)
            lacks.Add("that differ from another only in upper and lower case");
        var text = lacks.Count == 0 ? null : "names " + string.Join(", ", lacks);
        return LargestFile is null ? text : (text is null ? "" : text + ", and ") + "files of 4 GiB and more";
    }

    private static bool Holds(PosixDirectory place, string text)
    {
        var name = new EntryName(text);
        try
        {
            using (place.CreateFile(name, 0x180)) { }
        }
        catch (PosixException failure) when (failure.IsAboutName)
        {
            return false;
        }

        try
        {
            return place.Lists(name);
        }
        finally
        {
            TreeRemoval.Remove(place, name, CancellationToken.None);
        }
    }
}
