export default function ModPage(_: { name?: string }) {
  return <p>Soon</p>;
}
