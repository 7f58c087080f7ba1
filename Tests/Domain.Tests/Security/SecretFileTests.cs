using Librarian.Domain.Security;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Security;

[Quick]
public class SecretFileTests
{
    [Fact]
    public void CreateOnce_ManyAtOnce_KeepTheFirst()
    {
        using var directory = new TemporaryDirectory();
        for (var round = 0; round < 30; round++)
        {
            var path = directory[$"{round}/secret.key"];
            var read = new string[8];
            Parallel.For(0, read.Length, new ParallelOptions { MaxDegreeOfParallelism = read.Length }, i =>
            {
                SecretFile.CreateOnce(path, [(byte)('a' + i)]);
                read[i] = File.ReadAllText(path);
            });
            Assert.Single(read.Distinct());
            Assert.Equal([path], Directory.GetFiles(directory[$"{round}"]));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        }
    }

    [Fact]
    public void CreateOnce_AFileIsThere_LeavesItAsItIs()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.Write("secret.key", "mine");
        SecretFile.CreateOnce(path, "other"u8);
        Assert.Equal("mine", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(directory));
    }
}
